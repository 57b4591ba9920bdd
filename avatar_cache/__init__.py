"""Prepares and stores avatars."""
