"""How far a mouth may go: limits of what `mouth_code.articulate` multiplies by. Options are read without NumPy."""

LEAST_ARTICULATION, MOST_ARTICULATION = 0.5, 1.5
DEFAULT_ARTICULATION = 1.2
"""Chosen by the figures of docs/MODEL_CARD.md, and by looking: as heard, the drawn mouths are smaller than the true."""
