"""Conversation agents: a visitor's speech in, spoken answers out."""
