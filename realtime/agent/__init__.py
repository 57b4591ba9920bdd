"""Whom a visitor talks to: heard speech in, spoken answers out."""
