"""Painted mouths against rendered truth: heads that no weights were fitted to, drawn at rest and with open mouths.

A picture at rest is painted with the code of a mouth (`lipstream.realtime.lipsync.mouth_code`), and compared with the
same head rendered with that mouth. The figures are of luma, means over 32 mouths:

- *L1* and *SSIM* at the picture's full size, whose face is 384 px wide, in the rectangle that holds all that changes;
- *teeth SSIM* and *teeth slopes r* at 192 px, of teeth, tongue and the dark between them: structural similarity, and
  the correlation of horizontal and vertical slopes;
- *sharpness*: variance of the Laplacian over mouth and jaw, of the head at rest; the median.

`truth_sharpness` gives the last one of the truth: an open mouth has edges that a closed one does not have.
`inside_bounds` says what could be reached inside: the truth itself, painted as coarsely as a network paints, and
the truth in a place that is a little wrong.

``rendered_mouths.npz`` was written by ``python -m training rendered``, which documents its arrays.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from lipstream.avatar_cache.blend_quality import mouth_sharpness
from lipstream.avatar_cache.crop_geometry import crop_face
from lipstream.realtime.lipsync.fields import FIELDS_BYTES, PAINT_STEPS, pack_fields
from lipstream.realtime.lipsync.metadata import WeightsMetadata
from lipstream.realtime.lipsync.mouth_code import SPREAD
from lipstream.realtime.lipsync.predictor import CodedPredictor, draw_codes_with
from lipstream.realtime.picture.field_painter import FieldPainter
from lipstream.realtime.picture.i420 import Picture, bgr_to_i420, i420_to_bgr, planes
from lipstream.realtime.picture.mouth_painter import Box, MouthPainter

RENDERED = Path(__file__).parent / "rendered_mouths.npz"
_CHANGED = 12
"""Difference of luma, of 255, from which a pixel counts as changed by the mouth."""
_MARGIN_PX = 8
_TEETH_PX = 192
_FEWEST_TEETH_PX = 40
_TOO_SHARP = 1.2
_WINDOW, _SOFTNESS = 11, 1.5

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class RenderedMouth:
    """One mouth.

    Attributes:
        reference: The head at rest, ``uint8[S * 3 // 2, S]``, I420; the face box is all of it.
        code: Code of the mouth, ``float32[13]``.
        truth: The head with the mouth, of the same shape.
        inside: ``bool[S, S]``: the pixels of ``truth`` that show teeth, tongue or the dark between them.
    """

    reference: Picture
    code: Floats
    truth: Picture
    inside: npt.NDArray[np.bool_]


def rendered_mouths(path: Path = RENDERED) -> Iterator[RenderedMouth]:
    """Yield the mouths of a file from ``python -m training rendered``."""
    with np.load(path) as data:
        references = list(_pictures(data["references"], data["reference_bytes"]))
        targets = list(_pictures(data["targets"], data["target_bytes"]))
        mouths, inside = data["mouths"], data["inside"]
    for number, (target, mouth, bits) in enumerate(zip(targets, mouths, inside, strict=True)):
        reference = references[number * len(references) // len(targets)]
        (side, _, _), (height, width, _) = reference.shape, target.shape
        place = slice(side - height, side), slice((side - width) // 2, (side + width) // 2)
        truth, seen = reference.copy(), np.zeros((side, side), np.bool_)
        truth[place] = target
        seen[place] = np.unpackbits(bits).reshape(height, width)
        yield RenderedMouth(
            bgr_to_i420(reference), (mouth / np.array(SPREAD)).astype(np.float32), bgr_to_i420(truth), seen
        )


def _pictures(files: Pixels, sizes: npt.NDArray[np.int64]) -> Iterator[Pixels]:
    for file in np.split(files, np.cumsum(sizes)[:-1]):
        yield np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR), np.uint8)


def paint(predictor: CodedPredictor, mouth: RenderedMouth, *, pixels: bool) -> Picture:
    """Return the reference painted with the mouth: by pixels that are enlarged, or as a server paints it."""
    metadata = predictor.metadata
    side = mouth.reference.shape[1]
    box, region = Box(0, 0, side, side), metadata.decoded_region
    crop = crop_face(mouth.reference, box, metadata.size, metadata.crop)
    features = predictor.encode_faces(crop[None])
    code = np.zeros((1, _channels(predictor)), np.float32)
    code[:, : len(mouth.code)] = mouth.code
    picture, first = mouth.reference.copy(), np.zeros(1, np.int64)
    coded = draw_codes_with(predictor)
    if pixels or coded is None:
        shown = crop[region.top : region.bottom, region.left : region.right]
        painted = predictor.draw_mouths(code, features, first)[0]
        MouthPainter(region, metadata.size).paint(picture, box, shown=shown, new=painted)
    else:
        fields = coded[1](code, features, first)[0]
        FieldPainter(region, metadata.size).paint(picture, box, rest=fields, new=fields)
    return picture


def _channels(predictor: CodedPredictor) -> int:
    silence = np.full((1, 80, 16), -4.0, np.float32)
    return int(predictor.encode_speech(silence).shape[1])


def figures(predictor: CodedPredictor, *, pixels: bool, path: Path = RENDERED) -> dict[str, float]:
    """Return the module's figures for the mouths of a predictor."""
    errors, likenesses, teeth, slopes, sharp = [], [], [], [], []
    for mouth in rendered_mouths(path):
        drawn, truth, before = (
            planes(picture)[0] for picture in (paint(predictor, mouth, pixels=pixels), mouth.truth, mouth.reference)
        )
        place = _around(cv2.absdiff(truth, before) > _CHANGED)
        likeness = _likeness(drawn, truth)
        errors.append(float(cv2.absdiff(drawn, truth)[place].mean()))
        likenesses.append(float(likeness[place].mean()))
        sharp.append(mouth_sharpness(before, drawn, _mask(predictor.metadata, mouth)))
        found = _inside(drawn, truth, mouth)
        teeth += found[:1]
        slopes += found[1:]
    means = {"L1": errors, "SSIM": likenesses, "teeth SSIM": teeth, "teeth slopes r": slopes}
    return {
        "sharpness": round(float(np.median(sharp)), 2),
        **{name: round(float(np.mean(values)), 3) for name, values in means.items()},
    }


def truth_sharpness(metadata: WeightsMetadata, path: Path = RENDERED) -> tuple[float, float]:
    """Return the *sharpness* of the truth, and the share of the mouths in which it is above 1.2."""
    found = [
        mouth_sharpness(planes(mouth.reference)[0], planes(mouth.truth)[0], _mask(metadata, mouth))
        for mouth in rendered_mouths(path)
    ]
    return round(float(np.median(found)), 2), round(float(np.mean(np.array(found) > _TOO_SHARP)), 2)


def _mask(metadata: WeightsMetadata, mouth: RenderedMouth) -> npt.NDArray[np.bool_]:
    """Return the pixels that painting a mouth may change."""
    shape = planes(mouth.truth)[0].shape
    return FieldPainter(metadata.decoded_region, metadata.size).mask(Box(0, 0, *shape), (shape[0], shape[1]))


def inside_bounds(metadata: WeightsMetadata, path: Path = RENDERED) -> dict[str, dict[str, float]]:
    """Return *teeth SSIM* and *teeth slopes r* of the truth itself, by what was done to it.

    It is painted by a server as the fields' paint, at the crop's size and at twice that; and it is moved, within the
    picture, by one pixel of 192 and by half of one, downwards.

    Args:
        metadata: Region and crop of the weights that the mouths are painted for.
    """
    found: dict[str, list[Floats]] = {}
    for mouth in rendered_mouths(path):
        truth = planes(mouth.truth)[0]
        drawn = {f"{metadata.size * scale} px": _painted_truth(metadata, mouth, scale) for scale in FIELDS_BYTES}
        for share in (0.5, 1.0):
            lower = np.array(((1, 0, 0), (0, 1, share * len(truth) / _TEETH_PX)), np.float32)
            moved = cv2.warpAffine(
                truth, lower, truth.shape[::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
            )
            drawn[f"{share:g} px lower"] = np.asarray(moved, np.uint8)
        for name, luma in drawn.items():
            if values := _inside(luma, truth, mouth):
                found.setdefault(name, []).append(np.array(values, np.float32))
    means = {name: np.stack(rows).mean(axis=0) for name, rows in found.items()}
    return {
        name: {"teeth SSIM": round(float(likeness), 3), "teeth slopes r": round(float(slopes), 3)}
        for name, (likeness, slopes) in means.items()
    }


def _painted_truth(metadata: WeightsMetadata, mouth: RenderedMouth, scale: int) -> Pixels:
    """Return the luma of the truth whose inside of the mouth was lost and painted again at the paint's size."""
    region, (height, side) = metadata.decoded_region, mouth.truth.shape
    colours = i420_to_bgr(mouth.truth, height=height * 2 // 3, width=side).astype(np.float32)
    mask = mouth.inside[..., None] * np.float32(PAINT_STEPS)
    whole = np.concatenate((mask, colours * mouth.inside[..., None]), axis=-1)
    small = cv2.resize(whole, (metadata.size * scale,) * 2, interpolation=cv2.INTER_AREA)
    top, bottom, left, right = (scale * edge for edge in region)
    fields = pack_fields(np.zeros((region.height, region.width, 2), np.float32), small[top:bottom, left:right])
    picture = mouth.truth.copy()
    planes(picture)[0][mouth.inside] = planes(mouth.reference)[0][mouth.inside]
    FieldPainter(region, metadata.size).paint(picture, Box(0, 0, side, side), rest=fields, new=fields)
    return planes(picture)[0]


def _inside(drawn: Pixels, truth: Pixels, mouth: RenderedMouth) -> list[float]:
    """Return the structural similarity inside a mouth, and the correlation of slopes; nothing of a mouth too small."""
    inside = _shrunk(mouth.inside)
    if inside.sum() < _FEWEST_TEETH_PX:
        return []
    small = [cv2.resize(luma, (_TEETH_PX, _TEETH_PX), interpolation=cv2.INTER_AREA) for luma in (drawn, truth)]
    slopes = [_slopes(luma)[:, inside].ravel() for luma in small]
    return [
        float(_likeness(small[0], small[1])[inside].mean()),
        float(np.asarray(np.corrcoef(slopes), np.float64)[0, 1]),
    ]


def _around(changed: npt.NDArray[np.bool_]) -> tuple[slice, slice]:
    rows, columns = np.where(changed)
    return (
        slice(max(rows.min() - _MARGIN_PX, 0), rows.max() + 1 + _MARGIN_PX),
        slice(max(columns.min() - _MARGIN_PX, 0), columns.max() + 1 + _MARGIN_PX),
    )


def _shrunk(inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    shares = cv2.resize(inside.astype(np.float32), (_TEETH_PX, _TEETH_PX), interpolation=cv2.INTER_AREA)
    return np.asarray(shares > 0.5, np.bool_)


def _slopes(luma: Pixels) -> Floats:
    return np.stack([np.asarray(cv2.Sobel(luma, cv2.CV_32F, *axes)) for axes in ((1, 0), (0, 1))])


def _likeness(a: Pixels, b: Pixels) -> Floats:
    """Return the structural similarity at each pixel (Wang et al., IEEE TIP 2004), with their Gaussian window."""

    def mean(values: Floats) -> Floats:
        return np.asarray(cv2.GaussianBlur(values, (_WINDOW, _WINDOW), _SOFTNESS))

    x, y = a.astype(np.float32), b.astype(np.float32)
    mean_x, mean_y = mean(x), mean(y)
    small, large = np.float32((0.01 * 255) ** 2), np.float32((0.03 * 255) ** 2)
    both, squares = mean_x * mean_y, mean_x**2 + mean_y**2
    covariance, variances = mean(x * y) - both, mean(x * x) + mean(y * y) - squares
    found = (2 * both + small) * (2 * covariance + large) / ((squares + small) * (variances + large))
    return np.asarray(found, np.float32)
