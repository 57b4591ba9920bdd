"""WebRTC: peers, SDP, RTP, and the patches of aiortc."""
