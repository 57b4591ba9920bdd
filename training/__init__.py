"""Synthetic talking heads: the faces, the speech and the fit behind the built-in weights.

An extra: nothing outside this package imports it, and a running server never needs it.
``python -m training --help`` lists the steps; README.md in this folder says how, docs/MODEL_CARD.md what came of it.
"""
