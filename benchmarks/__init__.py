"""Measurements of the server: one module per question; each prints a table and writes JSON into ``results``."""
