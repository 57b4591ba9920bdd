"""Text to speech: engines behind one small protocol, each a program of this machine or an endpoint elsewhere."""
