"""WebRTC: peers, tracks, and every departure from aiortc."""
