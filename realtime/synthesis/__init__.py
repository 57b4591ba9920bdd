"""Text to speech: engines behind one small protocol, local programs or a remote endpoint."""
