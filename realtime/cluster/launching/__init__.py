"""Starts the servers of a cluster on the machines of a Ray cluster. Only `launcher` imports Ray."""
