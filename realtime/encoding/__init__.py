"""Encoding of a session: speech and pictures are paced and encoded once for all receivers."""
