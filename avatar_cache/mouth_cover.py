"""Finds the frames in which something covers the mouth, such as a hand that wipes across it. Pure arithmetic.

There the clip's own picture is shown: a mouth would be painted over the hand. Two signs must agree: the landmarks of
the mouth are in doubt, and the picture around them differs from what the person's mouth looks like.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from lipstream.avatar_cache.face_detector import DetectedFace
from lipstream.avatar_cache.motion_graph import ClipRange
from lipstream.avatar_cache.photo import Bgr

Floats = npt.NDArray[np.float32]

_LIPS = slice(48, 68)
_PATCH = 16
_PATCH_SHARE, _BLUR_SHARE = 0.5, 1 / 60
"""Side of the compared square and softness of the picture in it, as shares of the face's side."""
_LEAST_CONTRAST = 4.0
_DOUBTFUL, _ALIKE = 1.35, 0.85
"""Doubt from which a mouth may be covered, in that person's usual one; correlation above which it is not. A drawn hand
that passes before three rendered faces has from 1.35 to 2.4, and 0.89 or less; no hand 1.1 at most, and from 0.91."""
_SHORTEST_FRAMES = 3
_FADE_FRAMES = 4


def mouth_patch(picture: Bgr, face: DetectedFace, side: float) -> Floats:
    """Return the picture around a mouth, ``float32[256]``, with mean 0 and contrast 1.

    Args:
        side: Side of the person's face, px.
    """
    x, y = face.points[_LIPS].mean(axis=0).tolist()
    reach = round(_PATCH_SHARE * side)
    left, top = round(x) - reach, round(y) - reach
    padded = cv2.copyMakeBorder(
        picture[max(top, 0) : top + 2 * reach, max(left, 0) : left + 2 * reach],
        *(max(-top, 0), max(top + 2 * reach - picture.shape[0], 0)),
        *(max(-left, 0), max(left + 2 * reach - picture.shape[1], 0)),
        cv2.BORDER_REPLICATE,
    )
    grey = cv2.cvtColor(cv2.GaussianBlur(padded, (0, 0), max(0.5, _BLUR_SHARE * side)), cv2.COLOR_BGR2GRAY)
    inner = grey[reach // 2 : reach // 2 + reach, reach // 2 : reach // 2 + reach]
    patch = cv2.resize(inner, (_PATCH, _PATCH), interpolation=cv2.INTER_AREA).astype(np.float32).reshape(-1)
    patch -= patch.mean()
    return np.asarray(patch / max(float(patch.std()), _LEAST_CONTRAST), np.float32)


def lip_doubt(face: DetectedFace) -> float:
    """Return the mean doubt of the mouth's landmarks."""
    return float(face.doubt[_LIPS].mean())


def covered_frames(doubts: Sequence[float | None], patches: Sequence[Floats | None]) -> npt.NDArray[np.bool_]:
    """Return in which frames the mouth is covered, ``bool[N]``; so it is where no face was found.

    Args:
        doubts: :func:`lip_doubt` of each frame; ``None`` without a face.
        patches: :func:`mouth_patch` of each frame; ``None`` without a face.
    """
    known = [(doubt, patch) for doubt, patch in zip(doubts, patches, strict=True) if doubt is not None]
    if not known:
        return np.ones(len(doubts), np.bool_)
    usual = float(np.median([doubt for doubt, _ in known]))
    own = np.median(np.stack([patch for _, patch in known if patch is not None]), axis=0)
    found = np.array(
        [
            doubt is None or patch is None or (doubt >= _DOUBTFUL * usual and float(patch @ own) <= _ALIKE * own.size)
            for doubt, patch in zip(doubts, patches, strict=True)
        ]
    )
    for start, end in ranges_of(found):
        if end - start < _SHORTEST_FRAMES and None not in doubts[start:end]:
            found[start:end] = False
    return found


def ranges_of(flags: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the half-open ranges in which flags are set."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8))).tolist()
    return list(zip(edges[0::2], edges[1::2], strict=True))


def cover_weights(covered: Sequence[tuple[int, int]], clips: Sequence[ClipRange], frames: int) -> Floats:
    """Return how far each frame shows the clip's own mouth, ``float32[frames]``: 1 where it is covered, fading around.

    Args:
        covered: Half-open ranges of the row.
        clips: Within each of them the mouth fades before and after a range.
    """
    weights = np.zeros(frames, np.float32)
    for start, end in covered:
        weights[start:end] = 1
        clip = next((clip for clip in clips if clip.first <= start < clip.first + clip.frames), None)
        if clip is None:
            continue
        for away in range(1, _FADE_FRAMES):
            for frame in (start - away, end - 1 + away):
                if clip.first <= frame < clip.first + clip.frames:
                    weights[frame] = max(weights[frame], 1 - away / _FADE_FRAMES)
    return weights
