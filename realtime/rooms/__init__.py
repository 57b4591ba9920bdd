"""Sessions in rooms of LiveKit: what an agent says there, and the face that says it."""
