"""The agent session's audio output: what the agent says goes to the face."""

import time

from livekit import rtc
from livekit.agents.voice.io import AudioOutput, AudioOutputCapabilities
from livekit.plugins.lipstream.player import Player

from lipstream import Face


class FaceOutput(AudioOutput):
    """Gives the agent's sound to a face, and tells the agent what was heard of it."""

    def __init__(self, face: Face, *, audio: rtc.AudioSource, video: rtc.VideoSource) -> None:
        super().__init__(label="Lipstream", capabilities=AudioOutputCapabilities(pause=False), sample_rate=face.rate)
        self.player = Player(face, audio=audio, video=video, on_started=self._heard_first, on_finished=self._heard_last)

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        """Add sound to the utterance."""
        await super().capture_frame(frame)
        self.player.push(frame)

    def flush(self) -> None:
        """Mark the end of the utterance."""
        super().flush()
        self.player.end()

    def clear_buffer(self) -> None:
        """Stop speaking at once."""
        self.player.clear()

    def _heard_first(self) -> None:
        self.on_playback_started(created_at=time.time())

    def _heard_last(self, seconds: float, interrupted: bool) -> None:  # noqa: FBT001 (the player's callback)
        self.on_playback_finished(playback_position=seconds, interrupted=interrupted)
