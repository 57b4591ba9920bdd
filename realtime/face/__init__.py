"""The face as a library: PCM in, pictures with their sound out."""
