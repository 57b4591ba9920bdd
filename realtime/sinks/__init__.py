"""Where a session goes besides its peers: files and live streams."""
