"""The real-time server: speech in, a speaking face out."""
