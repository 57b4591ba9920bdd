"""A Lipstream face for LiveKit agents, in the agent's own process or from a Lipstream server.

``await AvatarSession(avatar="ada").start(agent_session, room=ctx.room)`` before the agent session starts;
``RemoteAvatarSession(avatar="ada", server="http://…")`` for a server's face.
"""

from livekit.agents import Plugin
from livekit.plugins.lipstream.avatar import AvatarSession
from livekit.plugins.lipstream.log import logger
from livekit.plugins.lipstream.remote import RemoteAvatarSession
from livekit.plugins.lipstream.version import __version__

__all__ = ["AvatarSession", "RemoteAvatarSession", "__version__"]


class LipstreamPlugin(Plugin):
    """Names the plugin to the framework."""

    def __init__(self) -> None:
        super().__init__(__name__, __version__, __package__ or __name__, logger)


Plugin.register_plugin(LipstreamPlugin())
