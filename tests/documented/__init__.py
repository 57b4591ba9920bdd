"""The commands that the documents show, and how each was tried."""
