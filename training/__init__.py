"""Synthetic talking heads: the faces, the speech and the fit behind the built-in weights.

This package is an extra: no other package imports it, and a running server does not need it.
``python -m training --help`` lists the steps; README.md in this folder explains them, docs/MODEL_CARD.md gives results.
"""

import lipstream  # noqa: F401 (before OpenVINO, which then tells nobody of it)
