"""Outputs of a session besides its peers: recordings, live streams, virtual devices."""
