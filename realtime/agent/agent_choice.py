"""Creates the agent, and the end-of-turn detection, that the settings name."""

import logging
from collections.abc import Callable

from lipstream.own_code import import_factory
from lipstream.realtime.agent.agent import Agent
from lipstream.realtime.agent.end_of_turn import EndOfTurn
from lipstream.realtime.agent.endpoints import Chat, Transcriber
from lipstream.realtime.agent.pause_judge import PauseJudge
from lipstream.realtime.agent.realtime_api import RealtimeAgent
from lipstream.realtime.agent.talker import PROMPT, Talker
from lipstream.realtime.agent.thoughts import ThinkingHabit
from lipstream.realtime.errors import LipstreamError, SettingsError
from lipstream.realtime.settings import Settings
from lipstream.realtime.synthesis.endpoint import read_key
from lipstream.realtime.synthesis.synthesizer import SpeechSynthesizer
from lipstream.realtime.wire.authorities import authorities

logger = logging.getLogger(__name__)


def choose_agent(settings: Settings, synthesizer: SpeechSynthesizer | None) -> Callable[[], Agent] | None:
    """Return a function that starts a conversation; ``None`` if the settings name no agent or no speech engine.

    Raises:
        SettingsError: If a key file cannot be read.
    """
    if settings.realtime:
        return _realtime(settings)
    if not settings.chat or synthesizer is None:
        return None
    authorities()  # now, since it takes longer than a picture may
    begin_hearing = _transcribers(settings)
    chat_key = read_key("chat_key_file", settings.chat_key_file)
    habit = ThinkingHabit(settings.chat_model)

    def begin() -> Agent:
        chat = Chat(settings.chat, model=settings.chat_model, key=chat_key)
        return Talker(begin_hearing(), chat, synthesizer, settings.chat_prompt, habit)

    return begin


def choose_end_of_turn(settings: Settings) -> Callable[[], PauseJudge] | None:
    """Return a function that makes the judge of a conversation; ``None`` if silence alone ends a turn.

    The operator's code is imported here, and its factory called once.

    Raises:
        SettingsError: If the code cannot be loaded or makes no :class:`EndOfTurn`, or a key file cannot be read.
    """
    name = settings.end_of_turn
    if not name:
        return None
    try:
        detection: EndOfTurn = import_factory(name)()
    except LipstreamError:
        raise
    except Exception as error:
        logger.exception("the end-of-turn detection %s failed", name)
        raise SettingsError(
            f"the end-of-turn detection {name} cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    if not callable(getattr(detection, "has_finished", None)):
        raise SettingsError(f"the end-of-turn detection {name} has no has_finished")
    begin_hearing = _transcribers(settings) if settings.transcriber else lambda: None
    return lambda: PauseJudge(detection, begin_hearing())


def _transcribers(settings: Settings) -> Callable[[], Transcriber]:
    key = read_key("transcriber_key_file", settings.transcriber_key_file)
    return lambda: Transcriber(
        settings.transcriber, model=settings.transcriber_model, language=settings.transcriber_language, key=key
    )


def _realtime(settings: Settings) -> Callable[[], Agent]:
    authorities()
    key = read_key("realtime_key_file", settings.realtime_key_file)

    def begin() -> Agent:
        return RealtimeAgent(
            settings.realtime,
            model=settings.realtime_model,
            voice=settings.realtime_voice,
            key=key,
            prompt=settings.chat_prompt or PROMPT,
            transcriber=settings.transcriber_model,
        )

    return begin
