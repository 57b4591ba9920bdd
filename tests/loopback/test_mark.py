"""The mark that says "made by AI" is on every picture that a peer receives, from the first one on."""

import json

import cv2
import numpy as np

from benchmarks.signals import TimelineSource
from lipstream.realtime.api.app import create_app
from lipstream.realtime.picture.i420 import bgr_to_i420, planes
from lipstream.realtime.picture.mark_style import MarkStyle
from lipstream.realtime.picture.watermark import draw_mark
from lipstream.realtime.test_client.call_recording import decode_pictures
from lipstream.realtime.test_client.click_track import voice
from tests.loopback.conftest import Callers, Serve, until

FOUND = 0.9
"""Likeness from which on the mark counts as found."""
CHANCE = 0.6
"""Likeness that a picture without it never reaches."""


class Detector:
    """Looks for a mark in a picture by what it should look like, anywhere."""

    def __init__(self, style: MarkStyle, size: tuple[int, int]) -> None:
        width, height = size
        mark = draw_mark(style, width, height)
        grey = bgr_to_i420(np.full((height, width, 3), 128, np.uint8))
        mark.stamp(grey)
        self.place = mark.columns.start, mark.rows.start
        self._template = planes(grey)[0][mark.rows, mark.columns]

    def look(self, luma: np.ndarray) -> tuple[float, tuple[int, int]]:
        """Return the best likeness, 1 at most, and its place."""
        likeness = cv2.matchTemplate(luma, self._template, cv2.TM_CCOEFF_NORMED)
        _, best, _, place = cv2.minMaxLoc(likeness)
        return best, (place[0], place[1])


async def test_every_received_picture_has_the_mark(serve: Serve, callers: Callers) -> None:
    sessions = await serve(mark_corner="bottom-right")
    detector = Detector(MarkStyle(corner="bottom-right"), (128, 128))
    caller, session = await callers.call(sessions)
    session.speech.source = TimelineSource(session.clock, voice)
    counts = session.playout.counts
    await until(lambda: counts.rendered > 60, "speech")
    await sessions.switch(session.id, "bob")
    spoken = counts.rendered
    await until(lambda: counts.rendered > spoken + 30, "speech of the other face")
    session.speech.source = session.speech.microphone
    idle = counts.idle
    await until(lambda: counts.idle > idle + 20, "silence")
    await callers.hang_up()

    received = {packet.timestamp for packet in caller.recording.picture.packets if packet.marker}
    pictures = list(decode_pictures(caller.recording.picture))
    assert len(pictures) == len(received) > 110
    assert pictures[0].timestamp == caller.recording.picture.packets[0].timestamp, "the first one is among them"
    seen = [detector.look(picture.luma) for picture in pictures]
    found = [likeness >= FOUND and place == detector.place for likeness, place in seen]
    print(f"mark found in {sum(found)} of {len(found)} pictures, least likeness {min(seen)[0]:.2f}")
    assert all(found)
    # It lies still: what changes there from picture to picture is less than what the encoder changes elsewhere.
    x, y = detector.place
    plate = np.stack([picture.luma[y : y + 12, x : x + 16] for picture in pictures if picture.luma.shape]).astype(int)
    steps = np.abs(np.diff(plate, axis=0)).mean(axis=(1, 2))
    assert np.median(steps) < 1.5


async def test_without_it_nothing_is_found(serve: Serve, callers: Callers) -> None:
    sessions = await serve(no_mark=True)
    detector = Detector(MarkStyle(), (128, 128))
    caller, session = await callers.call(sessions)
    await until(lambda: session.playout.counts.idle > 20, "pictures")
    await callers.hang_up()
    assert max(detector.look(picture.luma)[0] for picture in decode_pictures(caller.recording.picture)) < CHANCE


async def test_no_request_can_name_it(serve: Serve) -> None:
    sessions = await serve()
    asked = json.dumps(create_app(sessions).openapi()).lower()
    assert "avatar" in asked
    assert '"mark' not in asked
    assert '"no_mark' not in asked
