"""Boxes and outline of the face crops of an avatar, which depend on the weights."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lipstream.avatar_cache.detector_box import box_of_square, cropped_boxes, to_rectangles
from lipstream.avatar_cache.manifest import Manifest
from lipstream.realtime.lipsync.metadata import NO_PADS, WeightsMetadata
from lipstream.realtime.picture.i420 import Picture, i420_to_bgr
from lipstream.realtime.picture.mouth_painter import Box, Outline


@dataclass(frozen=True, slots=True)
class CropGeometry:
    """Face crops of an avatar for one weights file.

    Attributes:
        crop: Content of the crops: ``lipstream`` or ``detector``.
        boxes: Rectangle of the crop in each frame, px.
        outline: Polygon around lips and jaw, in shares of these boxes; empty if it is not known.
    """

    crop: str
    boxes: tuple[Box, ...]
    outline: Outline


def crop_geometry(manifest: Manifest, metadata: WeightsMetadata) -> CropGeometry:
    """Return the geometry of an avatar for some weights.

    A manifest without detector boxes (the avatar is older than they are, or its square was given by hand) has them
    derived from its squares.

    Raises:
        AvatarError: If a detector's box leaves too little of the face in the picture.
    """
    if metadata.crop == "lipstream":
        return CropGeometry(metadata.crop, manifest.boxes, manifest.outline)
    found = manifest.detector_boxes or to_rectangles(np.array([box_of_square(box) for box in manifest.boxes]))
    pads = NO_PADS if manifest.box_by_hand else metadata.pads
    boxes = cropped_boxes(found, pads, manifest.size, manifest.box_smoothing)
    return CropGeometry(metadata.crop, boxes, _moved(manifest.outline, manifest.boxes, boxes))


def _moved(outline: Outline, squares: tuple[Box, ...], boxes: tuple[Box, ...]) -> Outline:
    """Return the outline in shares of ``boxes``, averaged over all frames, which keeps it convex."""
    if not outline:
        return ()
    edges = [np.array([(b.x, b.y, b.width, b.height) for b in part], np.float64) for part in (squares, boxes)]
    places = edges[0][:, None, :2] + np.array(outline) * edges[0][:, None, 2:]
    shares = ((places - edges[1][:, None, :2]) / edges[1][:, None, 2:]).mean(axis=0)
    return tuple((round(float(x), 3), round(float(y), 3)) for x, y in shares)


def crop_face(frame: Picture, box: Box, size: int, crop: str = "lipstream") -> npt.NDArray[np.uint8]:
    """Return the face of an I420 frame for the network: ``uint8[size, size, 3]``, BGR.

    A detector's crop is resized bilinearly at any scale, as in the published script; a square without aliasing.
    """
    left, top = box.x // 2 * 2, box.y // 2 * 2
    width, height = (box.x + box.width + 1) // 2 * 2 - left, (box.y + box.height + 1) // 2 * 2 - top
    around = i420_to_bgr(frame, top=top, left=left, height=height, width=width)
    face = around[box.y - top :, box.x - left :][: box.height, : box.width]
    interpolation = cv2.INTER_AREA if box.width >= size else cv2.INTER_CUBIC
    if crop == "detector":
        interpolation = cv2.INTER_LINEAR
    resized: npt.NDArray[np.uint8] = cv2.resize(face, (size, size), interpolation=interpolation)
    return resized
