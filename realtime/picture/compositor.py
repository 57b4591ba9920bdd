"""The pictures of one avatar: its rest frames, with a spoken mouth painted in where there is one."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lipstream.realtime.lipsync.metadata import Region
from lipstream.realtime.picture.i420 import Picture
from lipstream.realtime.picture.mouth_painter import Box, Mouth, MouthPainter, Outline
from lipstream.realtime.picture.watermark import Mark, MarkStyle


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a compositor's pictures lie, so that another process can make the same one.

    Attributes:
        avatar: Id of the avatar.
        fingerprint: Of the weights it was prepared for.
        loaded: Tells apart what was loaded under one id, one after the other.
        mark: Stamped on every picture; ``None`` for none.
    """

    avatar: str
    fingerprint: str
    loaded: int
    mark: MarkStyle | None


class Compositor:
    """The pictures of one avatar: its rest frames, with a spoken mouth painted in where one is given.

    Args:
        frames: ``uint8[N, h * 3 // 2, w]`` I420, mouths at rest; never written to.
        rest_mouths: ``uint8[N, h, w, 3]`` BGR, the rest mouths at the network's size.
        boxes: The face box of each frame.
        region: The decoded region.
        crop_size: Side of the crop, px.
        outline: Of lips and jaw, where it is known.
        mark: Stamped on every picture; ``None`` for none.
        origin: Where all this comes from, if it lies in a store.
        crop: What the face crop shows, as the weights' metadata say it.
    """

    def __init__(
        self,
        frames: npt.NDArray[np.uint8],
        rest_mouths: Mouth,
        boxes: tuple[Box, ...],
        region: Region,
        crop_size: int,
        outline: Outline = (),
        mark: Mark | None = None,
        origin: Origin | None = None,
        crop: str = "lipstream",
    ) -> None:
        self.origin = origin
        self._mark = mark
        self._frames, self._rest_mouths, self._boxes = frames, rest_mouths, boxes
        self._painter = MouthPainter(region, crop_size, outline, crop)

    def compose(self, clip_frame: int, mouth: Mouth | None, spoken: float) -> Picture:
        """Return the picture of a clip frame with the mouth ``spoken`` (0..1) of the way from rest to ``mouth``.

        The result is a fresh array, or a read-only view of the cached frame where nothing is painted.
        """
        frame: Picture = self._frames[clip_frame]
        speaks = mouth is not None and spoken > 0
        if not speaks and self._mark is None:
            view = frame.view()
            view.flags.writeable = False
            return view
        picture = frame.copy()
        if mouth is not None and speaks:
            self._painter.paint(
                picture, self._boxes[clip_frame], shown=self._rest_mouths[clip_frame], new=mouth, weight=spoken
            )
        if self._mark:
            self._mark.stamp(picture)
        return picture

    def mask(self, clip_frame: int) -> npt.NDArray[np.bool_]:
        """Return ``bool[h, w]``: the pixels that speech may change."""
        rows, width = self._frames.shape[1:]
        return self._painter.mask(self._boxes[clip_frame], (rows * 2 // 3, width))


@dataclass(frozen=True, slots=True, eq=False)
class Painting:
    """What one picture shows; a call paints it, in any thread.

    Attributes:
        compositor: The avatar's.
        clip_frame: Frame of the clip.
        mouth: ``uint8[h, w, 3]`` BGR; ``None`` for the mouth at rest.
        spoken: Its weight, 0..1.
    """

    compositor: Compositor
    clip_frame: int
    mouth: Mouth | None
    spoken: float

    def __call__(self) -> Picture:
        """Return the picture, not to be written to."""
        return self.compositor.compose(self.clip_frame, self.mouth, self.spoken)
