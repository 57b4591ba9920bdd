"""A Lipstream face for Pipecat bots: a video service that stands between the voice and the output transport."""

from pipecat_lipstream.rtp_clock import keep_real_time
from pipecat_lipstream.version import __version__
from pipecat_lipstream.video import LipstreamVideoService

__all__ = ["LipstreamVideoService", "__version__", "keep_real_time"]
