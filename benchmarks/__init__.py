"""Measurements of the server: one file a question, a table on screen, JSON under ``results``."""
