"""Media sections of a session description (RFC 8866): their properties, and the rejection of one."""

from collections.abc import Iterable
from dataclasses import dataclass

NAME_PREFIX, FINGERPRINT_PREFIX = "a=mid:", "a=fingerprint:"
CODEC_PREFIX = "a=rtpmap:"
_STATIC_CODECS = {"0": "PCMU", "3": "GSM", "8": "PCMA", "9": "G722", "13": "CN", "26": "JPEG", "34": "H263"}
TRANSPORT_PREFIXES = ("a=ice-ufrag:", "a=ice-pwd:", FINGERPRINT_PREFIX, "a=setup:")
DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
_DISABLED, _ANY_PORT = "0", "9"


@dataclass(frozen=True, slots=True)
class MediaSection:
    """One media section.

    Attributes:
        lines: Lines without line ends; the first is ``m=...``.
    """

    lines: tuple[str, ...]

    @property
    def kind(self) -> str:
        """``audio``, ``video``, ``application``, or an unknown kind."""
        return self.lines[0].removeprefix("m=").partition(" ")[0]

    @property
    def name(self) -> str:
        """Identification tag (``mid``) of the section; empty if it has none or several."""
        names = [line.removeprefix(NAME_PREFIX) for line in self.lines if line.startswith(NAME_PREFIX)]
        return names[0] if len(names) == 1 else ""

    @property
    def protocol(self) -> str:
        """Transport protocol, such as ``UDP/TLS/RTP/SAVPF``; in capitals, empty if it is not named."""
        return "".join(self.lines[0].split()[2:3]).upper()

    @property
    def encodings(self) -> tuple[tuple[str, str], ...]:
        """Names and clock rates (Hz) of the codecs that the section lists, in its order (RFC 8866, section 6.6).

        Those of static payload types count too (RFC 3551), with an empty rate.
        """
        formats = self.lines[0].split()[3:]
        mapped = (line.removeprefix(CODEC_PREFIX).split() for line in self.lines if line.startswith(CODEC_PREFIX))
        named = {number: (name, "") for number, name in _STATIC_CODECS.items()}
        for words in mapped:
            if len(words) > 1:
                name, _, rate = words[1].partition("/")
                named[words[0]] = name, rate.partition("/")[0]
        return tuple(dict.fromkeys(named[number] for number in formats if number in named))

    @property
    def is_disabled(self) -> bool:
        """Whether the offer disables the section; port 0 with ``bundle-only`` does not (RFC 9143)."""
        return self.lines[0].split()[1:2] == [_DISABLED] and "a=bundle-only" not in self.lines

    def direction(self, head: Iterable[str]) -> str:
        """Return the direction of the media, from the section or the description's head (RFC 8866, section 6.7)."""
        told = (line.removeprefix("a=") for line in (*self.lines, *head) if line.startswith("a="))
        return next((word for word in told if word in DIRECTIONS), DIRECTIONS[0])

    def on_the_transport_of(self, tag: "MediaSection") -> list[str]:
        """Return the section's lines with a port, and with the transport of the section that leads the bundle."""
        media, _, rest = self.lines[0].partition(" ")
        port, _, rest = rest.partition(" ")
        own = [line for line in self.lines[1:] if not line.startswith(TRANSPORT_PREFIXES)]
        shared = [line for line in tag.lines if line.startswith(TRANSPORT_PREFIXES)]
        first = f"{media} {_ANY_PORT if port == _DISABLED else port} {rest}"
        return [first, *(self.lines[1:] if tag is self else own + shared)]

    def turned_off(self) -> "MediaSection":
        """Return the section with media in neither direction."""
        lines = [line for line in self.lines if line.removeprefix("a=") not in DIRECTIONS]
        return MediaSection((*lines, "a=inactive"))

    def rejected(self) -> list[str]:
        """Return the lines that reject the section in an answer (RFC 9429, section 5.3.1)."""
        media, _, rest = self.lines[0].partition(" ")
        name = [f"{NAME_PREFIX}{self.name}"] if self.name else []
        return [f"{media} {_DISABLED} {rest.partition(' ')[2]}", "c=IN IP4 0.0.0.0", *name, "a=inactive"]


def split_sections(lines: Iterable[str]) -> tuple[list[str], list[MediaSection]]:
    """Return the session-level lines of a description, and its media sections in order."""
    head: list[str] = []
    sections: list[list[str]] = []
    for line in lines:
        if line.startswith("m="):
            sections.append([line])
        else:
            (sections[-1] if sections else head).append(line)
    return head, [MediaSection(tuple(section)) for section in sections]
