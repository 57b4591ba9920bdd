"""Creates the agent that the settings name."""

from collections.abc import Callable

from lipstream.realtime.agent.agent import Agent
from lipstream.realtime.agent.endpoints import Chat, Transcriber
from lipstream.realtime.agent.talker import Talker
from lipstream.realtime.settings import Settings
from lipstream.realtime.synthesis.endpoint import read_key
from lipstream.realtime.synthesis.synthesizer import SpeechSynthesizer
from lipstream.realtime.wire.authorities import authorities


def choose_agent(settings: Settings, synthesizer: SpeechSynthesizer | None) -> Callable[[], Agent] | None:
    """Return a function that starts a conversation; ``None`` if the settings name no agent or no speech engine.

    Raises:
        SettingsError: If a key file cannot be read.
    """
    if not settings.chat or synthesizer is None:
        return None
    authorities()  # now, since it takes longer than a picture may
    hearing_key = read_key("transcriber_key_file", settings.transcriber_key_file)
    chat_key = read_key("chat_key_file", settings.chat_key_file)

    def begin() -> Agent:
        transcriber = Transcriber(
            settings.transcriber,
            model=settings.transcriber_model,
            language=settings.transcriber_language,
            key=hearing_key,
        )
        return Talker(
            transcriber, Chat(settings.chat, model=settings.chat_model, key=chat_key), synthesizer, settings.chat_prompt
        )

    return begin
