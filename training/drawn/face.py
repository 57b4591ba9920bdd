"""Mira's neck, face and top, in units of a thousandth of the picture's width."""

from __future__ import annotations

import numpy as np

from training.drawn import palette as c
from training.drawn.canvas import Canvas, Cover, Gradient
from training.drawn.curves import (
    Pairs,
    Points,
    beside,
    closed_curve,
    ellipse,
    joined,
    mirrored,
    moved,
    open_curve,
    stroke,
)

MIDDLE = 500.0
_RIGHT_OF_FACE = ((500, 196), (580, 214), (633, 290), (650, 390), (648, 470), (635, 552), (604, 622), (556, 670))
_CHIN = (500, 688)
_NECKLINE: Pairs = ((366, 799), (386, 856), (440, 898), (500, 912), (560, 898), (614, 856), (634, 799))
_FOLDS: tuple[tuple[Pairs, float], ...] = (
    (((668, 846), (662, 920), (684, 1010), (690, 1090)), 0.75),
    (((760, 866), (742, 940), (752, 1030)), 0.55),
    (((584, 934), (560, 1000), (552, 1080)), 0.3),
    (((800, 1010), (770, 1070), (716, 1120)), 0.6),
    (((806, 1090), (760, 1160), (690, 1200)), 0.5),
)
"""Folds of the right half of the top, and how deep they are."""
_SLEEVE: Pairs = ((812, 966), (826, 1030), (834, 1120), (832, 1310))
"""Where the right arm lies against the body."""
_BAND = 19.0
"""Width of the neckband."""
_FLOOR = 1300.0
"""Row below every picture."""


def both(points: Pairs) -> tuple[Points, Points]:
    """Return a curve on the right and the same on the left."""
    right = open_curve(points)
    return right, mirrored(right, MIDDLE)


def face_outline() -> Points:
    """Return the outline of the face under the hair."""
    left = tuple((1000 - x, y) for x, y in _RIGHT_OF_FACE[:0:-1])
    return closed_curve((*_RIGHT_OF_FACE, _CHIN, *left))


def paint_body(canvas: Canvas) -> None:
    """Paint neck, shoulders and top."""
    right = ((566, 600), (564, 700), (572, 768), (628, 806), (720, 840), (830, 872), (908, 930), (950, 1030))
    side = open_curve((*right, (972, _FLOOR)))
    body = canvas.cover(np.concatenate([side, mirrored(side, MIDDLE)[::-1]]))
    canvas.paint(body, Gradient(c.SKIN, (236, 190, 166), (500, 640), (500, 900)))
    _shade_neck(canvas, body)
    _paint_top(canvas, body)


def _shade_neck(canvas: Canvas, body: Cover) -> None:
    chin_shadow = moved(face_outline(), 14, 52)
    canvas.tint(canvas.cover(chin_shadow, soft=3).within(body), (0.84, 0.66, 0.66))
    canvas.tint(canvas.cover(ellipse(500, 690, 110, 60), soft=24).within(body), (0.84, 0.72, 0.74), 0.8)
    side = canvas.cover(closed_curve(((556, 640), (590, 640), (600, 780), (640, 830), (570, 800))), soft=10)
    canvas.tint(side.within(body), c.SHADE, 0.7)
    for bone in both(((516, 862), (560, 842), (620, 838), (700, 846))):
        canvas.tint(canvas.cover(stroke(bone, (3, 9, 8, 1)), soft=3.5).within(body), (0.84, 0.68, 0.66), 0.8)
        canvas.glaze(canvas.cover(stroke(moved(bone, 0, -9), (2, 8, 6, 1)), soft=4).within(body), c.SKIN_LIGHT, 0.6)
    for tendon in both(((548, 740), (536, 800), (518, 852))):
        canvas.tint(canvas.cover(stroke(tendon, (1, 7, 1)), soft=4).within(body), c.SHADE, 0.55)
    hollow = canvas.cover(closed_curve(((500, 846), (512, 858), (500, 872), (488, 858))), soft=5)
    canvas.tint(hollow.within(body), c.SHADE, 0.5)


def _paint_top(canvas: Canvas, body: Cover) -> None:
    neck = open_curve(_NECKLINE)
    hem = beside(neck, _BAND)
    shoulder = open_curve((tuple(hem[-1]), (724, 831), (836, 866), (916, 926), (958, 1030), (982, _FLOOR)))
    outline = np.concatenate([neck, shoulder, mirrored(shoulder, MIDDLE)[::-1]])
    top = canvas.cover(outline)
    under = canvas.cover(stroke(beside(neck, -4), (16, 24, 16)), soft=6).within(body)
    canvas.tint(under, (0.80, 0.62, 0.58), 0.5)
    canvas.paint(top, Gradient(c.CLOTH_LIGHT, c.CLOTH, (240, 820), (620, 1100)))
    far_side = canvas.cover(closed_curve(((700, 850), (1000, 850), (1000, 1300), (640, 1300), (760, 1000))), soft=40)
    canvas.tint(far_side.within(top), (0.88, 0.80, 0.76), 0.6)
    for line, depth in _FOLDS:
        for fold, side in ((open_curve(line), 1), (mirrored(open_curve(line), MIDDLE), -1)):
            shadow = canvas.cover(stroke(fold, (1, 13, 17, 2)), soft=6).within(top)
            canvas.tint(shadow, (0.82, 0.66, 0.52), depth * (1.0 if side > 0 else 0.8))
            light = canvas.cover(stroke(moved(fold, -12, 0), (1, 8, 10, 1)), soft=6).within(top)
            canvas.glaze(light, c.CLOTH_LIGHT, 0.6 * depth)
    sleeve = open_curve(_SLEEVE)
    for crease in (sleeve, mirrored(sleeve, MIDDLE)):
        canvas.tint(canvas.cover(stroke(crease, (1, 16, 30, 40)), soft=9).within(top), (0.80, 0.62, 0.50), 0.7)
        canvas.paint(canvas.cover(stroke(crease, (0.4, 2.4, 3.2, 3.2))), (150, 82, 30), 0.75)
    band = np.concatenate([neck, hem[::-1]])
    canvas.paint(canvas.cover(band), Gradient(c.CLOTH_LIGHT, (222, 146, 48), (380, 830), (640, 900)))
    ends = (np.stack([neck[at], hem[at]]) for at in (0, -1))
    for seam, width in ((hem, 2.6), (neck, 1.6), *((end, 2.0) for end in ends)):
        canvas.paint(canvas.cover(stroke(seam, (width, width))), c.CLOTH_DARK, 0.75)
    _paint_ribs(canvas, neck)
    edge = stroke(shoulder, (2.4, 3.4, 3.4))
    canvas.paint(canvas.cover(edge, mirrored(edge, MIDDLE)), (150, 82, 30), 0.7)
    _paint_necklace(canvas)


def _paint_ribs(canvas: Canvas, neck: Points) -> None:
    """Paint the ribs of the neckband."""
    at = np.linspace(0, len(neck) - 1, 64).astype(int)
    inner, outer = beside(neck, 2), beside(neck, _BAND - 2)
    ribs = (stroke(np.stack([inner[i], outer[i]]), (1.4, 1.4)) for i in at)
    canvas.paint(canvas.cover(*ribs), c.CLOTH_DARK, 0.35)


def _paint_necklace(canvas: Canvas) -> None:
    chain = open_curve(((424, 806), (446, 846), (500, 874), (554, 846), (576, 806)))
    canvas.tint(canvas.cover(stroke(moved(chain, 1, 3), (3, 3)), soft=1.5), (0.8, 0.64, 0.6), 0.8)
    canvas.paint(canvas.cover(stroke(chain, (1.8, 2.0, 1.8))), (206, 158, 78))
    pendant = ellipse(500, 881, 6.5, 7.5)
    canvas.paint(canvas.cover(pendant), Gradient((255, 238, 190), (190, 130, 50), (496, 875), (505, 888)))
    canvas.paint(canvas.cover(ellipse(498, 878, 2, 2)), (255, 252, 240))


def paint_face(canvas: Canvas, hair_shadow: Cover) -> None:
    """Paint the face without eyes, brows and mouth.

    Args:
        hair_shadow: Where the hair's shadow falls.
    """
    outline = face_outline()
    face = canvas.cover(outline)
    canvas.paint(face, Gradient(c.SKIN, (244, 202, 178), (450, 400), (600, 690)))
    light = canvas.cover(ellipse(440, 470, 90, 130), soft=50)
    canvas.glaze(light.within(face), c.SKIN_LIGHT, 0.75)
    canvas.glaze(canvas.cover(ellipse(484, 300, 80, 46), soft=26).within(face), c.SKIN_LIGHT, 0.6)
    far = closed_curve(((660, 300), (636, 430), (606, 520), (588, 600), (540, 672), (520, 720), (640, 720), (700, 500)))
    canvas.tint(canvas.cover(far, soft=16).within(face), (0.90, 0.77, 0.76), 0.85)
    near = closed_curve(((346, 300), (364, 450), (372, 540), (400, 620), (440, 668), (420, 700), (330, 560)))
    canvas.tint(canvas.cover(near, soft=14).within(face), (0.94, 0.83, 0.82), 0.6)
    canvas.tint(hair_shadow.within(face), (0.86, 0.69, 0.71), 0.85)
    for x in (412, 588):
        canvas.glaze(canvas.cover(ellipse(x, 512, 40, 22), soft=20).within(face), c.BLUSH, 0.36)
        canvas.tint(canvas.cover(ellipse(500 + 0.86 * (x - 500), 396, 46, 18), soft=14).within(face), c.SHADE, 0.42)
    _paint_nose(canvas, face)
    canvas.glaze(canvas.cover(ellipse(492, 664, 24, 12), soft=9).within(face), c.SKIN_LIGHT, 0.6)
    canvas.tint(canvas.cover(ellipse(502, 647, 34, 7), soft=6).within(face), c.SHADE, 0.6)
    jaw = outline[outline[:, 1] > 470]  # from right to left
    canvas.paint(canvas.cover(stroke(jaw, (1.2, 3.2, 3.0, 2.6, 2.0, 0.6))), c.SKIN_LINE, 0.8)


def _paint_nose(canvas: Canvas, face: Cover) -> None:
    bridge = closed_curve(((520, 400), (513, 450), (517, 505), (530, 540), (512, 552), (506, 500), (506, 440)))
    canvas.tint(canvas.cover(bridge, soft=6).within(face), (0.91, 0.78, 0.76), 0.75)
    canvas.tint(canvas.cover(closed_curve(((470, 396), (484, 430), (480, 460), (470, 430))), soft=8), c.SHADE, 0.35)
    under = closed_curve(((474, 549), (500, 554), (528, 549), (536, 566), (508, 578), (488, 568)))
    canvas.tint(canvas.cover(under, soft=5).within(face), (0.89, 0.72, 0.70), 0.8)
    canvas.glaze(canvas.cover(ellipse(500, 532, 24, 16), soft=10).within(face), c.BLUSH, 0.20)
    canvas.glaze(
        canvas.cover(stroke(open_curve(((494, 410), (495, 460), (496, 505))), (5, 9, 7)), soft=4), c.SKIN_LIGHT, 0.8
    )
    canvas.glaze(canvas.cover(ellipse(494, 525, 9, 6), soft=3.5), (255, 248, 240), 0.85)
    for nostril in both(((507, 549), (514, 545), (522, 545), (526, 549))):
        canvas.paint(canvas.cover(stroke(nostril, (0.8, 4.2, 4.6, 1.0)), soft=0.6), (142, 66, 62), 0.85)
    for wing in both(((530, 528), (537, 538), (534, 549), (528, 552))):
        canvas.paint(canvas.cover(stroke(wing, (0.4, 1.8, 2.2, 0.4)), soft=0.8), (186, 108, 96), 0.55)


def paint_mouth(canvas: Canvas) -> None:
    """Paint the closed lips, with a slight smile."""
    seam: Pairs = ((440, 597), (468, 606), (488, 607), (500, 609), (512, 607), (532, 606), (560, 597))
    rim: Pairs = ((440, 597), (462, 592), (484, 585), (500, 589), (516, 585), (538, 592), (560, 597))
    bottom: Pairs = ((442, 598), (464, 619), (484, 630), (500, 632), (516, 630), (536, 619), (558, 598))
    upper = canvas.cover(joined(rim, seam[::-1]))
    lower = canvas.cover(joined(seam, bottom[::-1]))
    canvas.paint(upper, Gradient(c.LIP, c.LIP_DARK, (500, 586), (520, 610)))
    canvas.paint(lower, Gradient((222, 112, 114), c.LIP, (480, 612), (520, 638)))
    canvas.glaze(canvas.cover(ellipse(486, 621, 20, 4.5), soft=3.5).within(lower), (255, 210, 204), 0.75)
    canvas.glaze(canvas.cover(ellipse(489, 619.5, 8, 1.8), soft=1.0).within(lower), (255, 244, 240), 0.8)
    canvas.glaze(canvas.cover(ellipse(480, 593, 10, 2.2), soft=2).within(upper), (250, 180, 176), 0.5)
    rows = np.linspace(452, 548, 17)
    creases = [open_curve(((x, 611), (500 + 0.97 * (x - 500), 618), (500 + 0.9 * (x - 500), 626))) for x in rows]
    canvas.tint(canvas.cover(*(stroke(one, (0.4, 1.0, 0.3)) for one in creases)).within(lower), (0.86, 0.7, 0.72), 0.5)
    canvas.paint(canvas.cover(stroke(open_curve(bottom), (0.4, 0.8, 2.0, 0.8, 0.4)), soft=0.8), c.LIP_LINE, 0.38)
    canvas.paint(canvas.cover(stroke(open_curve(rim), (0.4, 1.2, 0.8, 1.2, 0.4)), soft=0.7), c.LIP_LINE, 0.35)
    canvas.paint(canvas.cover(stroke(open_curve(seam), (1.0, 2.8, 3.0, 3.6, 3.0, 2.8, 1.0))), c.LIP_LINE, 0.92)
    for x in (438, 562):
        canvas.tint(canvas.cover(ellipse(x, 597, 5, 4), soft=3.5), (0.80, 0.60, 0.58), 0.7)
    canvas.tint(
        canvas.cover(closed_curve(((494, 560), (506, 560), (509, 580), (500, 584), (491, 580))), soft=3), c.SHADE, 0.45
    )
