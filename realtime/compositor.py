"""Paints a small predicted mouth into a full-size picture, so that only what speech changes is painted.

The network sees the face at 96 px or so; the picture has more detail. Where the predicted mouth equals the one that
the picture already shows, the picture's own detail stays; where it differs, the prediction replaces it::

    out = base + mask * weight * (up(new - shown + changed * shown) - up(changed) * base)

with ``shown`` the base picture's mouth as the network drew (or saw) it, ``new`` the mouth to paint, both at the
network's size, ``up`` the map to picture pixels, and ``changed`` (0..1) how far the two differ around a pixel. All but
the last product is worked out at the network's size.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from realtime.i420 import BGR_TO_YCBCR, Picture, bgr_to_ycbcr, planes
from realtime.lipsync.metadata import Region
from realtime.mark import Mark, MarkStyle

Floats = npt.NDArray[np.float32]
Mouth = npt.NDArray[np.uint8]

Outline = tuple[tuple[float, float], ...]
"""A convex polygon around lips and jaw, in shares of the face box, x before y; empty where none is known."""

_CHANGE_LOW, _CHANGE_HIGH = 6.0, 24.0
"""Luma difference at which the picture's own detail begins to give way, and at which it is gone."""


@dataclass(frozen=True, slots=True)
class Box:
    """The square of the picture that the network sees, px; all four even."""

    x: int
    y: int
    width: int
    height: int


_OUTLINE_SOFTNESS = 0.022
"""Width (standard deviation) of the outline's edge, of the face box."""


def feather_mask(region: Region, crop_size: int = 0, outline: Outline = ()) -> Floats:
    """Return ``float32[h, w]``: 1 over the mouth and jaw, falling smoothly to 0 before the region's edge.

    Args:
        region: The decoded region.
        crop_size: Side of the crop, px; needed with an outline.
        outline: Keeps what lies around the jaw, a collar or the background, out of the mask.
    """
    rows = np.abs((np.arange(region.height) + 0.5) / region.height * 2 - 1)[:, None]
    columns = np.abs((np.arange(region.width) + 0.5) / region.width * 2 - 1)[None, :]
    distance = (rows**4 + columns**4) ** 0.25  # a rounded rectangle
    ramp = np.clip((0.96 - distance) / 0.26, 0, 1)
    mask: Floats = (ramp * ramp * (3 - 2 * ramp)).astype(np.float32)
    return mask * _outline_mask(region, crop_size, outline) if outline else mask


def _outline_mask(region: Region, crop_size: int, outline: Outline) -> Floats:
    inside = np.zeros((crop_size, crop_size), np.uint8)
    corners = np.rint((np.array(outline) * crop_size - 0.5) * 16).astype(np.int32)
    cv2.fillConvexPoly(inside, corners, 255, cv2.LINE_AA, 4)
    soft = cv2.GaussianBlur(inside.astype(np.float32) / 255, (0, 0), _OUTLINE_SOFTNESS * crop_size)
    # The blur never quite ends: what is left of it far out is cut off.
    clipped: Floats = np.clip(soft * 1.04 - 0.02, 0, 1)[region.top : region.bottom, region.left : region.right]
    return clipped


class MouthPainter:
    """Paints mouths into pictures of one size of face box; knows the geometry, keeps the masks.

    Args:
        region: The decoded region of the crop.
        crop_size: Side of the crop, px.
        outline: Of lips and jaw, where it is known.
    """

    def __init__(self, region: Region, crop_size: int, outline: Outline = ()) -> None:
        self._region, self._size = region, crop_size
        self._feather = feather_mask(region, crop_size, outline)
        self._masks: dict[tuple[int, ...], tuple[Floats, Floats]] = {}

    def paint(self, picture: Picture, box: Box, *, shown: Mouth, new: Mouth, weight: float = 1.0) -> None:
        """Paint a mouth into a picture, in place.

        Args:
            picture: ``uint8[h * 3 // 2, w]``, I420.
            box: The face box.
            shown: ``uint8[h, w, 3]`` BGR: the mouth that the picture shows, in the decoded region's pixels.
            new: ``uint8[h, w, 3]`` BGR: the mouth to paint.
            weight: 0 leaves the picture, 1 replaces the mouth.
        """
        rectangle = self._rectangle(box)
        left, top, width, height = rectangle
        luma_map, chroma_map = self._maps(box, rectangle)
        luma_mask, chroma_mask = self._mask(box, rectangle)
        change = cv2.transform(cv2.subtract(new, shown, dtype=cv2.CV_32F), BGR_TO_YCBCR)
        changed = _changed(cv2.extractChannel(change, 0))
        painted = cv2.add(change, cv2.multiply(bgr_to_ycbcr(shown), cv2.merge((changed, changed, changed))))
        painted_luma, *painted_chroma = cv2.split(painted)
        luma, blue, red = planes(picture)

        view = luma[top : top + height, left : left + width]
        sharp = _warp(painted_luma, luma_map, (width, height), cv2.INTER_CUBIC)
        _blend(view, sharp, _warp(changed, luma_map, (width, height), cv2.INTER_LINEAR), luma_mask, weight)

        small = cv2.merge((*painted_chroma, changed))
        *ups, changed = cv2.split(_warp(small, chroma_map, (width // 2, height // 2), cv2.INTER_LINEAR))
        for up, plane in zip(ups, (blue, red), strict=True):
            view = plane[top // 2 : (top + height) // 2, left // 2 : (left + width) // 2]
            _blend(view, up, changed, chroma_mask, weight)

    def mask(self, box: Box, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
        """Return ``bool[h, w]``: the pixels of a picture of ``shape`` that painting may change."""
        left, top, width, height = self._rectangle(box)
        luma_mask, chroma_mask = self._mask(box, (left, top, width, height))
        touched = np.zeros(shape, np.bool_)
        around = chroma_mask.repeat(2, axis=0).repeat(2, axis=1) > 0
        touched[top : top + height, left : left + width] = (luma_mask > 0) | around
        return touched

    def _rectangle(self, box: Box) -> tuple[int, int, int, int]:
        """Return the even-edged rectangle of the picture around the region: left, top, width, height."""
        x_scale, y_scale = box.width / self._size, box.height / self._size
        left = int(box.x + self._region.left * x_scale) // 2 * 2
        top = int(box.y + self._region.top * y_scale) // 2 * 2
        right = -int(-(box.x + self._region.right * x_scale) // 2) * 2
        bottom = -int(-(box.y + self._region.bottom * y_scale) // 2) * 2
        return left, top, right - left, bottom - top

    def _maps(self, box: Box, rectangle: tuple[int, int, int, int]) -> tuple[Floats, Floats]:
        """Return the affine maps from region pixels to the rectangle's luma and chroma pixels (centres at +0.5)."""
        x_scale, y_scale = box.width / self._size, box.height / self._size
        x = (self._region.left + 0.5) * x_scale - 0.5 + box.x - rectangle[0]
        y = (self._region.top + 0.5) * y_scale - 0.5 + box.y - rectangle[1]
        luma = np.array([[x_scale, 0, x], [0, y_scale, y]], np.float32)
        chroma = np.array([[x_scale / 2, 0, (x - 0.5) / 2], [0, y_scale / 2, (y - 0.5) / 2]], np.float32)
        return luma, chroma

    def _mask(self, box: Box, rectangle: tuple[int, int, int, int]) -> tuple[Floats, Floats]:
        left, top, width, height = rectangle
        key = (box.width, box.height, box.x - left, box.y - top, width, height)
        if key not in self._masks:
            luma_map, chroma_map = self._maps(box, rectangle)
            self._masks[key] = (
                np.clip(_warp(self._feather, luma_map, (width, height), cv2.INTER_LINEAR), 0, 1),
                np.clip(_warp(self._feather, chroma_map, (width // 2, height // 2), cv2.INTER_LINEAR), 0, 1),
            )
        return self._masks[key]


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
    ) -> None:
        self.origin = origin
        self._mark = mark
        self._frames, self._rest_mouths, self._boxes = frames, rest_mouths, boxes
        self._painter = MouthPainter(region, crop_size, outline)

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


def _changed(luma_change: Floats) -> Floats:
    ramp = np.clip((np.abs(luma_change) - _CHANGE_LOW) / (_CHANGE_HIGH - _CHANGE_LOW), 0, 1)
    blurred: Floats = cv2.GaussianBlur(cv2.dilate(ramp, np.ones((3, 3), np.uint8)), (0, 0), 1.0)
    return blurred


def _warp(small: Floats, matrix: Floats, size: tuple[int, int], interpolation: int) -> Floats:
    warped: Floats = cv2.warpAffine(small, matrix, size, flags=interpolation, borderMode=cv2.BORDER_REPLICATE)
    return warped


def _blend(view: Picture, painted: Floats, changed: Floats, mask: Floats, weight: float) -> None:
    """Apply the module's formula to one plane, in place."""
    change = cv2.subtract(painted, cv2.multiply(changed, view, dtype=cv2.CV_32F))
    view[:] = cv2.add(view, cv2.multiply(change, mask, scale=weight), dtype=cv2.CV_8U)  # rounds, and stays in 0..255
