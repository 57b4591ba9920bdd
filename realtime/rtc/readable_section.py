"""Writes a media section as aiortc's parser reads it: one line that it cannot read would refuse the whole offer.

Defaults that the standards leave unsaid are written out, and optional lines that are malformed, or belong to a format
that the section does not list, are left out.
"""

import re
from collections.abc import Iterable

from lipstream.realtime.rtc.sdp_sections import DIRECTIONS, MediaSection

_SETUP_PREFIX, _DEFAULT_SETUP = "a=setup:", "a=setup:actpass"
"""What libwebrtc reads where a client leaves the role out."""
_FORMAT = re.compile(r"\d{1,3}")
_RTCP_CONFLICT = range(64, 96)
"""Payload types that look like RTCP on a multiplexed port (RFC 5761, section 4)."""
_MAPPING = re.compile(r"a=rtpmap:(\d{1,3}) +([^\s/]+/\d{1,6}(?:/\d{1,2})?)")
_OF_A_FORMAT = re.compile(r"a=(?:fmtp|rtcp-fb):(\d{1,3}|\*) \S")
_EXTENSION = re.compile(r"(a=extmap:\d{1,5}(?:/[a-z]+)? \S+)(?: .*)?")
_SHAPES = {
    "ssrc": r"\d{1,10} [^\s:]+:.*",
    "ssrc-group": r"\S+( \d{1,10})*",
    "rtcp": r"\d{1,5}( IN IP[46] \S+)?",
    "max-message-size": r"\d{1,12}",
    "sctp-port": r"\d{1,5}",
    "sctpmap": r"\d{1,5} \S.*",
}
"""Shapes of the values of other lines, by attribute."""


def readable(section: MediaSection, head: Iterable[str]) -> MediaSection:
    """Return a section that aiortc reads.

    Args:
        head: The description's lines before its first section, whose direction and role hold for all.
    """
    media, port, protocol, *formats = section.lines[0].split()
    is_rtp = section.kind != "application"
    mapped = {found[1]: found for line in section.lines if (found := _MAPPING.fullmatch(line))}
    if is_rtp:
        formats = [
            one for one in formats if _FORMAT.fullmatch(one) and int(one) < 128 and int(one) not in _RTCP_CONFLICT
        ]
    known = mapped.keys() & set(formats)
    lines = [" ".join((media, port.partition("/")[0], protocol.upper(), *formats))]
    for line in section.lines[1:]:
        lines += _read(line, known)
    if is_rtp and not any(line.removeprefix("a=") in DIRECTIONS for line in lines):
        lines.append(f"a={section.direction(head)}")
    if not any(line.startswith(_SETUP_PREFIX) for line in (*lines, *head)):
        lines.append(_DEFAULT_SETUP)
    return MediaSection(tuple(lines))


def _read(line: str, known: "set[str]") -> list[str]:
    """Return a line as it is read; none if it is not."""
    name, _, value = line.removeprefix("a=").partition(":")
    if name == "rtpmap":
        found = _MAPPING.fullmatch(line)
        return [f"a=rtpmap:{found[1]} {found[2]}"] if found and found[1] in known else []
    if name in ("fmtp", "rtcp-fb"):
        found = _OF_A_FORMAT.match(line)
        return [line] if found and (found[1] in known or (name == "rtcp-fb" and found[1] == "*")) else []
    if name == "extmap":
        found = _EXTENSION.fullmatch(line)
        return [found[1]] if found else []
    return [line] if name not in _SHAPES or re.fullmatch(_SHAPES[name], value) else []
