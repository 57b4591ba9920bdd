"""Mira's colours: sRGB, 0..255."""

from __future__ import annotations

from training.drawn.canvas import Colour

SKIN: Colour = (247, 212, 190)
SKIN_LIGHT: Colour = (255, 234, 216)
SKIN_LINE: Colour = (150, 78, 74)
SHADE: Colour = (0.90, 0.76, 0.74)
"""Factors of a shadow on skin: it turns redder, not greyer."""
BLUSH: Colour = (238, 124, 112)
LIP: Colour = (208, 92, 98)
LIP_DARK: Colour = (178, 68, 80)
LIP_LINE: Colour = (104, 34, 48)
BROW: Colour = (52, 46, 82)
LASH: Colour = (34, 24, 44)
LID: Colour = (232, 180, 160)
WHITE: Colour = (251, 248, 246)
WHITE_SHADE: Colour = (196, 186, 204)
IRIS_DARK: Colour = (12, 62, 80)
IRIS: Colour = (34, 138, 148)
IRIS_LIGHT: Colour = (138, 224, 210)
HAIR_DEEP: Colour = (17, 22, 56)
HAIR_DARK: Colour = (28, 38, 88)
HAIR: Colour = (44, 62, 130)
HAIR_LIGHT: Colour = (92, 124, 204)
HAIR_SHINE: Colour = (158, 192, 246)
CLOTH: Colour = (236, 164, 58)
CLOTH_LIGHT: Colour = (252, 196, 96)
CLOTH_DARK: Colour = (186, 106, 34)
GOLD: Colour = (250, 214, 130)
