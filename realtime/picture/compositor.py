"""The pictures of one avatar: its rest frames, with a spoken mouth painted in where there is one."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lipstream.realtime.lipsync.metadata import Region
from lipstream.realtime.picture.clip_mouths import ClipMouths, FieldMouths, PixelMouths
from lipstream.realtime.picture.field_painter import FieldPainter
from lipstream.realtime.picture.i420 import Picture
from lipstream.realtime.picture.mark_style import MarkStyle
from lipstream.realtime.picture.mouth_painter import Box, Mouth, MouthPainter, Outline
from lipstream.realtime.picture.watermark import Mark


@dataclass(frozen=True, slots=True)
class Origin:
    """Names the stored avatar behind a compositor, so that another process can build the same compositor.

    Attributes:
        fingerprint: First 16 digits of the SHA-256 of the weights file; a detector's crop adds its pads.
        loaded: Serial number of the load; differs between avatars loaded one after the other under one id.
        mark: Style of the watermark on every picture; ``None`` for no watermark.
    """

    avatar: str
    fingerprint: str
    loaded: int
    mark: MarkStyle | None


class Compositor:
    """The pictures of one avatar: its rest frames, with a spoken mouth painted in where one is given.

    Attributes:
        mouth_px: Mean size of the rectangle that is painted, px of the picture.

    Args:
        frames: ``uint8[N, h * 3 // 2, w]`` I420, mouths at rest; never written to.
        rest_mouths: The rest mouths at the network's size: ``uint8[N, h, w, 3]`` BGR, or ``uint8[N, h, w, 4, 8 or 20]``
            fields.
        boxes: N face boxes, one per frame, px.
        region: Half-open rectangle of the face crop that the network decodes, px of the crop.
        crop_size: Side of the crop, px.
        outline: Polygon around lips and jaw, in shares of the face box; empty if it is not known.
        mark: Watermark stamped on every picture; ``None`` for none.
        origin: Identifies the stored avatar; ``None`` for frames that are not in a store.
        crop: Content of the face crop: ``lipstream`` or ``detector``.
        under: ``uint8[N, n]``, for fields: the clip's own pixels below the painted mouths.
        bares_teeth: Whether the mouths of the clip do; default false.
        cover: ``float32[N]``, how far each frame shows the clip's own mouth, 0..1, because something covers it;
            ``None`` if nothing ever does.
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
        under: npt.NDArray[np.uint8] | None = None,
        *,
        bares_teeth: bool = False,
        cover: npt.NDArray[np.float32] | None = None,
    ) -> None:
        self._cover = cover
        self.origin = origin
        self._mark = mark
        self._frames = frames
        share = region.height * region.width / crop_size**2
        self.mouth_px = share * sum(box.width * box.height for box in boxes) / max(len(boxes), 1)
        self._mouths: ClipMouths
        if under is None:
            self._mouths = PixelMouths(rest_mouths, boxes, MouthPainter(region, crop_size, outline, crop))
        else:
            painter = FieldPainter(region, crop_size, outline, crop, bares_teeth=bares_teeth)
            self._mouths = FieldMouths(rest_mouths, under, boxes, painter)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the pictures, px."""
        rows, width = self._frames.shape[1:]
        return width, rows * 2 // 3

    def compose(self, clip_frame: int, mouth: Mouth | None, spoken: float) -> Picture:
        """Return the picture of one frame of the clip, I420.

        Args:
            clip_frame: Index into the rest frames, 0..N - 1.
            mouth: ``uint8[h, w, 3]`` BGR or ``uint8[h, w, 8 or 20]`` fields; ``None`` for the mouth at rest.
            spoken: Weight of ``mouth``, 0 (rest) to 1.

        Returns:
            A fresh array; without mouth and watermark a read-only view of the cached frame.
        """
        frame: Picture = self._frames[clip_frame]
        is_covered = self._cover is not None and self._cover[clip_frame] >= 1
        speaks = mouth is not None and spoken > 0 and not is_covered
        if not speaks and self._mark is None:
            view = frame.view()
            view.flags.writeable = False
            return view
        picture = frame.copy()
        if mouth is not None and speaks:
            own = 0.0 if self._cover is None else float(self._cover[clip_frame])
            self._mouths.paint(picture, clip_frame, mouth, spoken, own)
        if self._mark:
            self._mark.stamp(picture)
        return picture

    def mask(self, clip_frame: int) -> npt.NDArray[np.bool_]:
        """Return ``bool[h, w]``: the pixels that speech may change."""
        width, height = self.size
        return self._mouths.mask(clip_frame, (height, width))


@dataclass(frozen=True, slots=True, eq=False)
class Painting:
    """The content of one picture; calling it paints the picture, in any thread.

    Attributes:
        mouth: ``uint8[h, w, 3]`` BGR or ``uint8[h, w, 8 or 20]`` fields; ``None`` for the mouth at rest.
        spoken: Weight of the mouth, 0..1.
    """

    compositor: Compositor
    clip_frame: int
    mouth: Mouth | None
    spoken: float

    def __call__(self) -> Picture:
        """Return the picture, I420; it may be shared and must not be written to."""
        return self.compositor.compose(self.clip_frame, self.mouth, self.spoken)
