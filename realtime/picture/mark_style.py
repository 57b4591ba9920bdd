"""How the visible mark looks, apart from how it is drawn: options are read without OpenCV."""

from dataclasses import dataclass
from typing import Literal, get_args

from lipstream.realtime.errors import SettingsError

Corner = Literal["top-left", "top-right", "bottom-left", "bottom-right"]
CORNERS: tuple[Corner, ...] = get_args(Corner)

SMALLEST, LARGEST = 0.02, 0.25
LONGEST_TEXT = 24


@dataclass(frozen=True, slots=True)
class MarkStyle:
    """Appearance of the mark.

    Attributes:
        text: 1 to 24 printable characters; OpenCV's fonts cover many scripts, among them Chinese.
        corner: One of :data:`CORNERS`.
        size: Height of the capital letters as a share of the picture's short side, 0.02..0.25.

    Raises:
        SettingsError: If a value is out of range.
    """

    text: str = "AI"
    corner: Corner = "top-left"
    size: float = 0.05

    def __post_init__(self) -> None:
        if not self.text.strip() or len(self.text) > LONGEST_TEXT or not self.text.isprintable():
            raise SettingsError(f"mark_text {self.text!r} is not 1 to {LONGEST_TEXT} printable characters")
        if self.corner not in CORNERS:
            raise SettingsError(f"mark_corner {self.corner!r} is none of {', '.join(CORNERS)}")
        if not SMALLEST <= self.size <= LARGEST:
            raise SettingsError(f"mark_size {self.size} is not between {SMALLEST} and {LARGEST} of the short side")
