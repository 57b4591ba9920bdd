"""Generates pictures between two others: both move along their optical flow, and one fades into the other."""

import cv2
import numpy as np
import numpy.typing as npt

from lipstream.avatar_cache.photo import Bgr

Floats = npt.NDArray[np.float32]

_FLOW_SIDE = 640
"""Longer side of the pictures in which the flow is looked for, px."""
_SMOOTH = 0.006
"""Standard deviation of the flow's filter, as a share of the picture's longer side."""
_DOUBT_GREY = 24.0
"""Difference of the moved pictures, grey levels, from which the flow is not believed: something was covered."""


class InBetween:
    """Makes pictures between two of one size. One object serves any number of pairs."""

    def __init__(self) -> None:
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def between(self, before: Bgr, after: Bgr, share: float) -> Bgr:
        """Return a picture between two.

        Args:
            before: ``uint8[h, w, 3]``, shown at share 0.
            after: The same, shown at share 1.
            share: How far the new picture is on its way, 0..1.
        """
        flow = self._flow_between(before, after)
        height, width = flow.shape[:2]
        y, x = np.mgrid[:height, :width].astype(np.float32)
        moved = [
            cv2.remap(picture, x + part * flow[..., 0], y + part * flow[..., 1], cv2.INTER_CUBIC, None, _EDGE)
            for picture, part in ((before, -share), (after, 1 - share))
        ]
        return np.asarray(cv2.addWeighted(moved[0], 1 - share, moved[1], share, 0), np.uint8)

    def _flow_between(self, before: Bgr, after: Bgr) -> Floats:
        """Return the way of each pixel from ``before`` to ``after``, ``float32[h, w, 2]`` px, damped where in doubt."""
        height, width = before.shape[:2]
        scale = min(1.0, _FLOW_SIDE / max(height, width))
        size = max(16, round(width * scale)), max(16, round(height * scale))
        small = [cv2.cvtColor(cv2.resize(p, size, interpolation=cv2.INTER_AREA), _GREY) for p in (before, after)]
        flow = self._flow.calc(small[0], small[1], None)
        y, x = np.mgrid[: size[1], : size[0]].astype(np.float32)
        moved = cv2.remap(small[1], x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, None, _EDGE)
        doubt = cv2.absdiff(moved, small[0]).astype(np.float32) / np.float32(_DOUBT_GREY)
        sigma = max(1.0, _SMOOTH * max(size))
        trust = cv2.GaussianBlur(np.exp(-(doubt**2)), (0, 0), sigma)[..., None]
        smooth = cv2.GaussianBlur(flow * trust, (0, 0), sigma)
        full = cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(full * np.array([width / size[0], height / size[1]], np.float32), np.float32)


_EDGE, _GREY = cv2.BORDER_REPLICATE, cv2.COLOR_BGR2GRAY
