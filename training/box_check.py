"""Compares the face boxes of the built-in detector with those of MTCNN, which is independent of this project.

MTCNN's boxes jump: on one picture at other sizes and mirrored they differ by 1 to 2 % of their height. So it looks at
each picture six times, and the median of the six is the measure; how far single ones are from it bounds any comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lipstream.avatar_cache.crop_geometry import crop_face
from lipstream.avatar_cache.detector_box import cropped_boxes, follow_box, to_rectangles
from lipstream.avatar_cache.face_detector import FaceDetector
from lipstream.realtime.errors import SettingsError
from lipstream.realtime.lipsync.metadata import PUBLISHED_PADS
from lipstream.realtime.picture.i420 import bgr_to_i420
from training.pairs import CROP

Images = NDArray[np.uint8]
Edges = NDArray[np.float64]
Finder = Callable[[Images], Edges | None]
"""Returns left, top, right and bottom of the face in a picture ``uint8[h, w, 3]``, BGR, px; ``None`` without one."""

_SIZES = (0.86, 1.0, 1.16)
_ALIKE = 0.9
EDGES = ("left", "top", "right", "bottom")


def mtcnn() -> Finder:
    """Return MTCNN as the package facenet-pytorch has it.

    Raises:
        SettingsError: If the package is not installed.
    """
    try:
        from facenet_pytorch import MTCNN  # noqa: PLC0415 (no part of the training environment)
    except ImportError as error:
        raise SettingsError(
            "boxes needs MTCNN: torchvision, and pip install --no-deps facenet-pytorch==2.6.0 requests tqdm"
        ) from error
    network: Any = MTCNN(device="cpu", select_largest=True)

    def find(picture: Images) -> Edges | None:
        found, _ = network.detect(np.ascontiguousarray(picture[..., ::-1]))
        return None if found is None else np.asarray(found[0], np.float64)

    return find


def looks(find: Finder, picture: Images) -> Edges:
    """Return the boxes of a picture at three sizes, as it is and mirrored, in its own pixels, ``float64[N, 4]``."""
    width, boxes = picture.shape[1], []
    for size in _SIZES:
        sized = np.asarray(cv2.resize(picture, None, fx=size, fy=size, interpolation=cv2.INTER_AREA), np.uint8)
        for mirrored in (False, True):
            box = find(np.ascontiguousarray(sized[:, ::-1]) if mirrored else sized)
            if box is None:
                continue
            box = box / size
            boxes.append(np.array([width - box[2], box[1], width - box[0], box[3]]) if mirrored else box)
    return np.array(boxes).reshape(-1, 4)


def alike(picture: Images, one: Edges, other: Edges) -> float:
    """Return the correlation of the crops by two boxes, with the published pads."""
    size = picture.shape[1], picture.shape[0]
    cut = [
        crop_face(
            bgr_to_i420(picture), cropped_boxes(to_rectangles(box[None]), PUBLISHED_PADS, size)[0], CROP, "detector"
        )
        for box in (one, other)
    ]
    return float(np.corrcoef(cut[0].ravel(), cut[1].ravel())[0, 1])


def compare(pictures: Iterable[Images], ours: FaceDetector, theirs: Finder) -> dict[str, float]:
    """Return how boxes worked out from landmarks differ from those of a detector.

    Args:
        pictures: ``uint8[h, w, 3]``, BGR, even sides, one face each; those in which either finds none are left out.

    Returns:
        Median distance of each edge, percent of the box's height; median correlation of the crops, its least, and the
        share of at least 0.9; the same median and least for the detector's single boxes against their median.

    Raises:
        SettingsError: If there is no picture with a face.
    """
    edges, likeness, own = [], [], []
    for picture in pictures:
        faces, found = ours.find(picture), looks(theirs, picture)
        if not faces or not len(found):
            continue
        box, middle = follow_box([faces[0]])[0], np.median(found, axis=0)
        edges.append(100 * np.abs(box - middle) / (middle[3] - middle[1]))
        likeness.append(alike(picture, box, middle))
        own += [alike(picture, single, middle) for single in found]
    if not edges:
        raise SettingsError("no face was found in the pictures")
    figures = {edge: float(value) for edge, value in zip(EDGES, np.median(edges, axis=0), strict=True)}
    figures |= {"correlation": float(np.median(likeness)), "least": min(likeness)}
    figures |= {"share": float(np.mean(np.array(likeness) >= _ALIKE)), "pictures": float(len(likeness))}
    return figures | {"itself": float(np.median(own)), "its least": min(own)}
