"""Chooses the H.264 format of an offered section, and the parameters of its answer (RFC 6184, section 8.2.2).

A format is one payload type with its profile, level and packetization mode. The answer keeps profile and mode, so a
format with a mode that is not sent here is left out. The level is the offer's, unless both sides allow another
(``level-asymmetry-allowed``). What is sent is constrained baseline, which decoders of all profiles below understand.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from aiortc.sdp import H264Profile, parse_h264_profile_level_id

from lipstream.realtime.encoding.h264_level import Limits, Pictures, h264_level, level_limits
from lipstream.realtime.rtc.sdp_sections import CODEC_PREFIX, MediaSection

PARAMETERS_PREFIX, FEEDBACK_PREFIX = "a=fmtp:", "a=rtcp-fb:"
_PROFILES = (
    H264Profile.PROFILE_CONSTRAINED_BASELINE,
    H264Profile.PROFILE_BASELINE,
    H264Profile.PROFILE_MAIN,
    H264Profile.PROFILE_CONSTRAINED_HIGH,
    H264Profile.PROFILE_HIGH,
    H264Profile.PROFILE_PREDICTIVE_HIGH_444,
)
"""The profiles whose decoders understand constrained baseline, the nearest first."""
_UNSAID = "42e01f"
"""Meant by an offer without a profile, as every WebRTC library reads it; RFC 6184 says baseline of level 1."""
_PROFILE_LEVEL = re.compile("[0-9a-fA-F]{6}")
_READ_AS = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"
"""Parameters by which aiortc recognises the format as one of its own."""


@dataclass(frozen=True, slots=True)
class H264Format:
    """One offered format.

    Attributes:
        number: Payload type.
        parameters: Values by name, as in the offer's ``a=fmtp`` line.
    """

    number: str
    parameters: dict[str, str]

    @property
    def profile(self) -> H264Profile | None:
        """Profile; ``None`` if it is not known."""
        told = self.parameters.get("profile-level-id", _UNSAID)
        if not _PROFILE_LEVEL.fullmatch(told):
            return None
        try:
            return parse_h264_profile_level_id(f"{told[:4]}1f")[0]  # aiortc does not know all levels
        except ValueError:
            return None

    @property
    def level(self) -> int:
        """Ten times the level that the offerer decodes; 0 if it is not readable."""
        told = self.parameters.get("profile-level-id", _UNSAID)[4:]
        if self.asymmetric:
            told = self.parameters.get("max-recv-level", "")[2:] or told
        return _number(told, base=16)

    @property
    def asymmetric(self) -> bool:
        """Whether each direction may have a level of its own."""
        return self.parameters.get("level-asymmetry-allowed") == "1"

    @property
    def limits(self) -> Limits:
        """What the offerer decodes: its level, and what it can do beyond it."""
        limits = level_limits(self.level)
        told = [_number(self.parameters.get(name, "")) for name in ("max-mbps", "max-fs", "max-br")]
        return Limits(*map(max, limits, (told[0], told[1], 1000 * told[2])))

    def fault(self, pictures: Pictures | None) -> str:
        """Return why pictures cannot be sent in this format; empty if they can.

        Args:
            pictures: The pictures to send; ``None`` if they come from the offerer.
        """
        if self.parameters.get("packetization-mode") != "1":
            return f"packetization mode {self.parameters.get('packetization-mode', '0')[:4]} instead of 1"
        if self.profile not in _PROFILES:
            return "an unknown profile"
        if pictures and not self.asymmetric and not self.limits.allow(pictures):
            return f"level {_level_name(self.level)}, where the pictures need {_level_name(h264_level(pictures))}"
        return ""

    def answer(self, pictures: Pictures | None) -> str:
        """Return the line of parameters for the answer.

        With asymmetric levels it names the level of what is sent if the offered one is too low: browsers offer 3.1
        whatever they decode.
        """
        values = {}
        if self.asymmetric:
            values["level-asymmetry-allowed"] = "1"
        values["packetization-mode"] = "1"
        if told := self.parameters.get("profile-level-id"):
            raised = pictures is not None and not self.limits.allow(pictures)
            values["profile-level-id"] = f"{told[:4]}{h264_level(pictures):02x}" if raised and pictures else told
        return PARAMETERS_PREFIX + f"{self.number} " + ";".join(f"{name}={value}" for name, value in values.items())


def h264_formats(section: MediaSection) -> list[H264Format]:
    """Return the formats of H.264 that a section offers, in its order; none if it is not one of pictures."""
    if section.kind != "video":
        return []
    names = dict(map(_numbered, _values(section, CODEC_PREFIX)))
    told = dict(map(_numbered, _values(section, PARAMETERS_PREFIX)))
    return [
        H264Format(number, _parameters(told.get(number, "")))
        for number in section.lines[0].split()[3:]
        if names.get(number, "").lower() == "h264/90000"
    ]


def choose_format(formats: Sequence[H264Format], pictures: Pictures | None) -> H264Format | None:
    """Return the best format that pictures can be sent in; ``None`` if there is none."""
    usable = [one for one in formats if not one.fault(pictures)]
    return min(usable, key=lambda one: _PROFILES.index(one.profile or _PROFILES[-1]), default=None)


def with_one_format(section: MediaSection, chosen: H264Format | None) -> MediaSection:
    """Return a section with one of its formats of H.264, written as aiortc knows it; with ``None`` without any."""
    dropped = {one.number for one in h264_formats(section) if chosen is None or one.number != chosen.number}
    for number, parameters in map(_numbered, _values(section, PARAMETERS_PREFIX)):
        if _parameters(parameters).get("apt") in dropped:  # retransmission of a dropped one
            dropped.add(number)
    media = section.lines[0].split()
    lines = [" ".join([*media[:3], *(number for number in media[3:] if number not in dropped)])]
    for line in section.lines[1:]:
        prefix = next((one for one in (CODEC_PREFIX, PARAMETERS_PREFIX, FEEDBACK_PREFIX) if line.startswith(one)), None)
        number = line.removeprefix(prefix).split(" ")[0] if prefix else ""
        if number in dropped or (chosen and prefix == PARAMETERS_PREFIX and number == chosen.number):
            continue
        lines.append(line)
    return MediaSection((*lines, f"{PARAMETERS_PREFIX}{chosen.number} {_READ_AS}") if chosen else tuple(lines))


def _values(section: MediaSection, prefix: str) -> list[str]:
    return [line.removeprefix(prefix) for line in section.lines if line.startswith(prefix)]


def _numbered(value: str) -> tuple[str, str]:
    number, _, rest = value.partition(" ")
    return number, rest.strip()


def _parameters(text: str) -> dict[str, str]:
    """Return the values of a parameter line by their names in lower case."""
    pairs = (pair.strip().partition("=") for pair in text.split(";"))
    return {name.strip().lower(): value.strip() for name, _, value in pairs if name}


def _number(text: str, *, base: int = 10) -> int:
    """Return a number of at most eight digits; 0 if it is none."""
    digits = "0123456789abcdef"[:base]
    return int(text, base) if 0 < len(text) <= 8 and set(text.lower()) <= set(digits) else 0


def _level_name(level: int) -> str:
    return "1b" if level == 9 else f"{level // 10}.{level % 10}".removesuffix(".0")
