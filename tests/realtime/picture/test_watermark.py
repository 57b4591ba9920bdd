from pathlib import Path

import numpy as np
import pytest

from lipstream.realtime.errors import SettingsError
from lipstream.realtime.lipsync.metadata import Region
from lipstream.realtime.picture.compositor import Compositor
from lipstream.realtime.picture.i420 import bgr_to_i420, planes
from lipstream.realtime.picture.mark_style import CORNERS, Corner, MarkStyle
from lipstream.realtime.picture.mouth_painter import Box
from lipstream.realtime.picture.watermark import draw_mark
from lipstream.realtime.settings import Settings, read_settings


def _grey(shade: int, width: int = 640, height: int = 360) -> np.ndarray:
    return bgr_to_i420(np.full((height, width, 3), shade, np.uint8))


@pytest.mark.parametrize("size", [(128, 128), (512, 512), (720, 1280), (1280, 720)])
@pytest.mark.parametrize("corner", CORNERS)
@pytest.mark.parametrize("text", ["AI", "AI-generated", "AI生成"])
def test_letters_are_as_high_as_the_style_says_and_nothing_but_their_plate_changes(
    size: tuple[int, int], corner: Corner, text: str
) -> None:
    width, height = size
    mark = draw_mark(MarkStyle(text, corner), width, height)
    for shade in (0, 110, 255):
        picture, before = _grey(shade, *size), _grey(shade, *size)
        mark.stamp(picture)
        for plane, old, step in zip(planes(picture), planes(before), (1, 2, 2), strict=True):
            changed = np.argwhere(plane != old)
            if not len(changed):
                assert step == 2 or shade == 0
                continue
            (top, left), (bottom, right) = changed.min(axis=0) * step, (changed.max(axis=0) + 1) * step
            assert mark.rows.start <= top < bottom <= mark.rows.stop
            assert mark.columns.start <= left < right <= mark.columns.stop
        if text == "AI":  # capital letters alone
            luma = planes(picture)[0]
            letters = np.argwhere(luma[mark.rows, mark.columns] > 200) if shade < 200 else None
            if letters is not None:
                assert np.ptp(letters[:, 0]) + 1 == pytest.approx(mark.letter_height, abs=2)
    assert mark.letter_height >= 0.05 * min(size) - (1 if text != "AI" and min(size) < 200 else 0)
    inside = (mark.rows.start + mark.rows.stop) / 2 / height, (mark.columns.start + mark.columns.stop) / 2 / width
    assert (inside[0] > 0.5, inside[1] > 0.5) == (corner.startswith("bottom"), corner.endswith("right"))


def test_it_is_legible_on_black_and_on_white() -> None:
    mark = draw_mark(MarkStyle(), 512, 512)
    for shade in (0, 128, 255):
        picture = _grey(shade, 512, 512)
        mark.stamp(picture)
        seen = planes(picture)[0][mark.rows, mark.columns]
        plate, letters = np.percentile(seen, 30), seen.max()
        assert letters >= 230
        assert letters - plate > 100


def test_a_text_too_long_for_its_picture_is_made_smaller_and_stays_inside() -> None:
    mark = draw_mark(MarkStyle("W" * 24, "bottom-right", 0.25), 256, 256)
    picture = _grey(90, 256, 256)
    mark.stamp(picture)
    assert mark.columns.stop <= 256
    assert mark.columns.start >= 0


def test_every_picture_of_a_compositor_has_it_and_the_cached_frames_do_not() -> None:
    frames = np.stack([_grey(100, 320, 320)] * 2)
    frames.flags.writeable = False
    region, mouth = Region(48, 96, 8, 88), np.full((48, 80, 3), 100, np.uint8)
    mark = draw_mark(MarkStyle(), 320, 320)
    compositor = Compositor(
        frames, np.stack([mouth] * 2), (Box(60, 40, 192, 192),) * 2, region, 96, mark=mark
    )  # fmt: skip
    idle = compositor.compose(0, None, 0.0)
    spoken = compositor.compose(1, np.full_like(mouth, 220), 1.0)
    for picture in (idle, spoken):
        seen = planes(picture)[0][mark.rows, mark.columns]
        np.testing.assert_array_equal(seen, planes(idle)[0][mark.rows, mark.columns])
        assert seen.max() >= 230
    assert planes(frames[0])[0].max() < 150


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"text": " "}, "printable"),
        ({"text": "A\nI"}, "printable"),
        ({"text": "A" * 25}, "printable"),
        ({"corner": "middle"}, "none of top-left"),
        ({"size": 0.01}, "between"),
        ({"size": 0.5}, "between"),
    ],
)
def test_a_mark_that_could_not_be_read_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        MarkStyle(**options)  # type: ignore[arg-type]


def test_it_is_the_operators_setting(tmp_path: Path) -> None:
    assert Settings().mark == MarkStyle("AI", "top-left", 0.05)
    file = tmp_path / "lipstream.toml"
    file.write_text('mark_text = "KI"\nmark_size = 0.1\n')
    chosen = read_settings(["--config", str(file), "--mark-corner", "bottom-left"], {"LIPSTREAM_MARK_TEXT": "IA"})
    assert chosen.mark == MarkStyle("IA", "bottom-left", 0.1)
    assert read_settings(["--no-mark"], {}).mark is None
    with pytest.raises(SettingsError, match="mark_size"):
        read_settings(["--mark-size", "0"], {})
