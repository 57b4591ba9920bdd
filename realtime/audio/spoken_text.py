"""Turns written text into what a person would read aloud from it: no markdown, tables, links, emoji or code.

The text comes from clients and language models, so every step must take time proportional to its length. The rules of
markdown are those of CommonMark (https://spec.commonmark.org/0.31.2/) and GitHub's tables, as far as they can be heard.
"""

import html
import re
import unicodedata
from collections.abc import Iterator

from lipstream.realtime.audio.spoken_math import spoken_formulas

_LINE_END = re.compile(r"\r\n|[\r\v\f\x85\u2028\u2029]")
_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})")
_MARK = re.compile(r"(?:>+|[-*+•◦▪‣–:](?= )|#{1,6}(?= |$)|\[[ xX]\](?= ))(?: |$)?")
_CLOSING = re.compile(r" #+$")
_ALERT = re.compile(r"\[!(\w+)\]")
_NUMBER = re.compile(r"\d{1,9}[.)] ")
_FOOTNOTE = re.compile(r" ?\[\^[^\[\]]*\](?:: )?| ?【[^【】†]*†[^【】]*】")
_DEFINITION = re.compile(r"\[[^\[\]]+\]: ?(?:<?https?://|/|#|\./)\S*")
_RULE, _TABLE_RULE = frozenset("-*_=~"), frozenset("|:- ")
_STOPS = ".!?…。！？।॥؟۔።፧။།։។៕:;,，；：、،؛"

_INVISIBLE = dict.fromkeys(
    (0xAD, 0x61C, 0x180E, 0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2060, 0x206A), 0xFEFF, 0xFFFD)
)
"""Soft hyphens, blanks without width, marks of direction, and characters that stand for none. Joiners shape words."""
_UNSEEN = (("<!--", "-->"), ("<script", "</script>"), ("<style", "</style>"))
_ENTITY = re.compile(r"&(?:amp;)*(?:#\d{1,7}|#[xX][\da-fA-F]{1,6}|[a-zA-Z]{2,8});")
# Tags of HTML and SSML; a tag of any other name must end one, end itself, or have attributes.
_TAG = re.compile(
    r"</?(?:a|abbr|audio|b|blockquote|body|br|break|code|del|details|div|dd|dl|dt|em|emphasis|font|h[1-6]|hr|html|i|img|"
    r"ins|kbd|lang|li|mark|mstts:[a-z-]+|ol|p|phoneme|pre|prosody|q|s|say-as|small|span|speak|strong|su[bp]|summary|table|"
    r"tbody|td|th|thead|tr|u|ul|voice|w|amazon:[a-z-]+)(?: [^<>]*)?/?>"
    r"|</[a-zA-Z][\w:.-]*>|<[a-zA-Z][\w:.-]*(?: [\w:.-]+=(?:\"[^\"<>]*\"|'[^'<>]*'))* ?/>"
    r"|<[a-zA-Z][\w:.-]*(?: [\w:.-]+=(?:\"[^\"<>]*\"|'[^'<>]*'))+ ?>",
    re.IGNORECASE,
)
_OPENED, _CLOSED = re.compile(r"<([a-zA-Z][\w:.-]*)>"), re.compile(r"</([a-zA-Z][\w:.-]*)>")
_ADDRESS = re.compile(r"<(?:mailto:)?([^<>\s@:]+@[^<>\s@]+)>|\bmailto:(?=[^\s@]+@)")
_SHORTCODE = re.compile(r"(?<![\w:]):(?:[a-z][a-z0-9_+-]{1,30}|[+-]1):(?![\w:])")
_TOKEN = re.compile(r"<\|[a-zA-Z_]{1,40}\|>")
_LINK = re.compile(r"""!?\[([^\[\]]*)\]\( ?<?[^\s()<>]*(?:\([^\s()]*\)[^\s()<>]*)*>?(?: "[^"]*"| '[^']*')? ?\)""")
_REFERENCE = re.compile(r"(?<![\w\]])\[([^\[\]]*[^\W\d][^\[\]]*)\]\[[^\[\]]*\]")
_WIKI = re.compile(r"\[\[(?:[^\[\]|]*\|)?([^\[\]|]*)\]\]")
_URL = re.compile(
    r"<?\b(?:[a-z][a-z0-9+.-]{1,15}://|www\.(?=\w))([^\s<>]*[^\s<>.,;:!?'\")\]}*_~`|。，！？）」])[>/]?", re.IGNORECASE
)
_HOST = re.compile(r"(?:[^/?#@]*@)?([^/?#:]*)")
_ESCAPE = re.compile(r"\\(?=[!-/:-@\[-`{-~])")
_PRODUCT = re.compile(r"(?<=\d)\*(?=\w)|(?<=\w)\*(?=\d)|(?<=\b\w)\*(?=\w\b)|(?<=\w) \* (?=\w)")
_THOUSANDS = re.compile(r"(?<=\d)_(?=\d{3}(?!\d))")
_STRUCK = re.compile(r"(?<![\w~])~(?![\s~])([^~]*[^\s~])~(?![\w~])")
_EMPHASIS = re.compile(r"(?<=\w)[*_]+(?=\w)|[*`]+|(?<!\w)_+|_+(?!\w)|~~+|##+|==+")
_STARS = re.compile(r"\*+")
_BETWEEN = re.compile(r" ?(?:[|•→⇒➜➔⟶⟹←⇐↔⇔⟵⟷]|(?<= )(?:<?[-=]+>|<-+)(?= ))+ ?")
_DRAWN = "\u2500-\u259f"
_EMOJI = re.compile(
    f"(?: ?[{_DRAWN}\U0001f000-\U0001f0ff\U0001f10d-\U0001faff\u2600-\u2775\u2794-\u27bf\u2b00-\u2bff\u231a\u231b"
    "\u23e9-\u23fa\u25aa\u25ab\u25b6\u25c0\u25fb-\u25fe\u2934\u2935\ufe0e\ufe0f\u20e3\U000e0020-\U000e007f]\u200d?)+ ?"
)
_COMMAS = re.compile(r"(?: ?, ?){2,}|(?<=[.!?…:;,]) ?, ?(?= |$)|^ ?, | , ?(?=[.!?…:;,]|$)")


def spoken_text(text: str) -> str:
    """Return what a person would read aloud from a text, on one line.

    Headings, list items, table rows and paragraphs end like sentences. Code blocks, link targets and emoji are left
    out; of a bare address the host is kept. No letter or digit of other words is lost.
    """
    text = text.encode("utf-16-le", errors="surrogatepass").decode("utf-16-le", errors="ignore")  # joins halves of one
    text = _LINE_END.sub("\n", _without_unseen(text.translate(_INVISIBLE)))
    said: list[str] = []
    open_line = False  # whether the last line goes on in the next one
    for line in _without_code(text.split("\n")):
        shown, is_own = _line(line)
        if said and open_line and (is_own or not shown):
            said[-1] = _ended(said[-1])
        if shown:
            said.append(_ended(shown) if is_own else shown)
        open_line = bool(shown) and not is_own
    return " ".join(" ".join(said).split())


def ends_alone(line: str) -> bool:
    """Return whether a line of written text is a sentence of its own: a heading, a list item, a table row, or empty."""
    begins = " ".join(line.split())
    return not begins or begins[0] == "|" or _is_rule(begins) or bool(_MARK.match(begins) or _NUMBER.match(begins))


class CodeFilter:
    """Leaves code blocks out of a text whose lines arrive one by one."""

    def __init__(self) -> None:
        self._fence = ""

    @property
    def inside(self) -> bool:
        """Whether a code block has begun and not ended."""
        return bool(self._fence)

    def is_code(self, line: str) -> bool:
        """Return whether the next line belongs to a code block, or begins or ends one."""
        found = _FENCE.match(line)
        if not self._fence:
            self._fence = found[1] if found else ""
            return found is not None
        if found and found[1].startswith(self._fence) and not line[found.end() :].strip():
            self._fence = ""
        return True


def _without_unseen(text: str) -> str:
    """Return a text without comments and programs of HTML, which a page does not show."""
    for begin, end in _UNSEEN:
        kept, at = [], 0
        while 0 <= (first := text.find(begin, at)) < (last := text.find(end, first + 1)):
            kept.append(text[at:first])
            at = last + len(end)
        text = "".join([*kept, text[at:]]) if kept else text
    return text


def _without_code(lines: list[str]) -> Iterator[str]:
    code = CodeFilter()
    for line in lines:
        yield "" if code.is_code(line) else line


def _line(line: str) -> tuple[str, bool]:
    """Return what is read of a line, and whether it is a sentence of its own."""
    line = _ENTITY.sub(lambda found: html.unescape("&" + found[0].rpartition("amp;")[2].removeprefix("&")), line)
    kept = (" " if unicodedata.category(char) in ("Cc", "Zl", "Zp") else char for char in line)
    line = " ".join("".join(kept).split())
    if not line or _is_rule(line):
        return "", True
    is_own, at = line.startswith("|"), 0
    while mark := _MARK.match(line, at):
        is_own, at = is_own or not mark[0].startswith(">"), mark.end()
        line = _CLOSING.sub("", line) if mark[0].startswith("#") else line
    line = line[at:].strip("| ") if is_own else line[at:]
    if alert := _ALERT.fullmatch(line):
        return alert[1], True
    if _DEFINITION.match(line):
        return "", True
    return _inline(line), is_own or _NUMBER.match(line) is not None


def _is_rule(line: str) -> bool:
    """Return whether a line is drawn: below a heading, in a table, or between parts."""
    drawn = set(line) - {" "}
    return len(line) >= 3 and ((len(drawn) == 1 and drawn <= _RULE) or ("-" in drawn and drawn <= _TABLE_RULE))


def _inline(text: str) -> str:
    """Return what is read of a line's text, without runs of blanks."""
    text = _without_tags(_ADDRESS.sub(r"\1", spoken_formulas(_FOOTNOTE.sub("", text))))
    text = _REFERENCE.sub(r"\1", _LINK.sub(r"\1", _LINK.sub(r"\1", text)))
    text = _WIKI.sub(r"\1", text)
    text = re.sub(r"\[{2,}", "[", re.sub(r"\]{2,}", "]", text))
    text = _URL.sub(_host, text)
    text = _ESCAPE.sub("", text)
    text = _STRUCK.sub(r"\1", _THOUSANDS.sub("", _SHORTCODE.sub("", text)))
    text = " ".join(map(_without_emphasis, _PRODUCT.sub(" × ", text).split()))
    text = _EMOJI.sub(_emoji, text)
    text = _BETWEEN.sub(", ", text)
    return " ".join(_COMMAS.sub(_comma, " ".join(text.split())).split())


def _without_tags(text: str) -> str:
    """Return a line without tags of HTML and SSML, of any name that is closed on the same line."""
    closed = set(_CLOSED.findall(text)) if "</" in text else set()
    text = _OPENED.sub(lambda found: " " if found[1] in closed else found[0], text) if closed else text
    return _TOKEN.sub(" ", _TAG.sub(" ", text))


def _host(found: "re.Match[str]") -> str:
    host = _HOST.match(found[1])
    return host[1].removeprefix("www.") if host else ""


def _without_emphasis(word: str) -> str:
    """Return a word without marks around and in it; a mail address keeps stars and underscores in it."""
    return word.replace("`", "").strip("*_") if "@" in word else _EMPHASIS.sub(_emphasis, word)


def _emphasis(found: "re.Match[str]") -> str:
    """Return a blank for marks within a word, nothing for those around one and for stars in pairs, as in ``*a*b``."""
    at, end, whole = found.start(), found.end(), found.string
    inside = at and end < len(whole) and whole[at - 1].isalnum() and whole[end].isalnum()
    stands = set(found[0]) == {"*"} and len(_STARS.findall(whole)) % 2 == 0
    return " " if inside and not stands else ""


def _emoji(found: "re.Match[str]") -> str:
    """Return a blank for pictures, but none before a stop."""
    following = found.string[found.end() : found.end() + 1]
    return "" if not following or following in _STOPS else " "


def _comma(found: "re.Match[str]") -> str:
    return ", " if found[0].count(",") > 1 and found.start() and found.end() < len(found.string) else " "


def _ended(line: str) -> str:
    """Return a line with a stop at its end."""
    bare = line.rstrip("\"'”’»)]」』）")
    if not bare or bare[-1] in _STOPS or not any(char.isalnum() for char in bare):
        return line
    return f"{line}."
