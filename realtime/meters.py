"""What a server counts over all its sessions, those too that are gone: made once, handed to whoever has something."""

from collections.abc import Iterator

from lipstream.realtime.metrics import Counter, Family, Histogram

FATES = ("spoken", "idle", "repeated", "dropped")
ENDINGS = ("asked", "abandoned", "never_connected", "yielded", "failed", "shutdown")
REFUSALS = ("full", "draining", "warming", "renderer")

_LATENCY_S = (0.04, 0.06, 0.08, 0.09, 0.1, 0.11, 0.12, 0.14, 0.16, 0.2, 0.25, 0.3, 0.4, 0.6, 1.0)
_LATENESS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.1, 0.25, 1.0)
_SKEW_S = (-0.125, -0.06, -0.04, -0.025, -0.015, -0.005, -0.002, 0.0, 0.002, 0.005, 0.015, 0.025, 0.04, 0.045, 0.06)
_RENDER_S = (0.001, 0.002, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.1, 0.2, 0.5, 1.0, 2.0)
_BATCHES = (1, 2, 3, 4, 6, 8, 12, 16)


class Meters:
    """Counters and histograms of one server.

    Attributes:
        frames: Pictures by what became of them, as in ``PlayoutCounts``.
        underruns: Packets of speech that were due before their sound was there.
        mouth_latency: From the sound's arrival to its picture's leaving.
        skew: Media time of sound minus that of picture, handed to RTP at one instant: positive is sound ahead.
        lateness: A picture's leaving after its time.
        tail: From an interruption to the first silent packet.
        sessions_ended: Sessions by why they ended.
        sessions_refused: Sessions not taken, by why.
        render: The render worker's time by part: ``gather`` the faces of a batch, ``draw`` it on the device; ``trip``
            is a mouth's whole way from the session and back.
        batch: Mouths drawn at once.
        loop_lag: By how much the event loop came late to a tick.
        bytes_sent, packets_sent, packets_lost: RTP by kind, as sent, and as the other side reports it.
        key_frames: Sent.
    """

    def __init__(self) -> None:
        kinds = ("audio", "video")
        self.frames = Counter("frames_total", "Pictures that were due, by what became of them.", "fate", FATES)
        self.underruns = Counter("speech_underruns_total", "Packets of speech due before their sound was there.")
        self.mouth_latency = Histogram(
            "mouth_latency_seconds", "From the arrival of sound to the leaving of its picture.", _LATENCY_S
        )
        self.skew = Histogram(
            "av_skew_seconds", "Sound minus picture as handed to RTP; positive: sound ahead.", _SKEW_S
        )
        self.lateness = Histogram("frame_lateness_seconds", "A picture's leaving after its time.", _LATENESS_S)
        self.tail = Histogram("interrupt_tail_seconds", "From an interruption to silence.", _LATENESS_S)
        self.sessions_ended = Counter("sessions_ended_total", "Sessions that ended, by why.", "why", ENDINGS)
        self.sessions_refused = Counter("sessions_refused_total", "Sessions not taken, by why.", "why", REFUSALS)
        self.render = Histogram(
            "render_seconds", "Time of the render worker by part.", _RENDER_S, "part", ("gather", "draw", "trip")
        )
        self.batch = Histogram("render_batch_mouths", "Mouths drawn at once.", _BATCHES)
        self.loop_lag = Histogram("event_loop_lag_seconds", "How late the event loop came to a tick.", _LATENESS_S)
        self.bytes_sent = Counter("rtp_sent_bytes_total", "Media sent, without headers.", "kind", kinds)
        self.packets_sent = Counter("rtp_sent_packets_total", "Packets of media sent.", "kind", kinds)
        self.packets_lost = Counter("rtp_lost_packets_total", "Packets that receivers report as lost.", "kind", kinds)
        self.key_frames = Counter("key_frames_total", "Key frames sent.")

    def families(self) -> Iterator[Family]:
        """Yield all of them."""
        yield from (value for value in vars(self).values())
