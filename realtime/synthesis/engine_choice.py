"""Creates the speech engine that the settings name."""

from lipstream.realtime.settings import Settings
from lipstream.realtime.synthesis.endpoint import DEFAULT_VOICE, SpeechEndpoint, read_key
from lipstream.realtime.synthesis.programs import espeak_ng, piper
from lipstream.realtime.synthesis.read_ahead import ReadAhead
from lipstream.realtime.synthesis.synthesizer import SpeechSynthesizer


def choose_synthesizer(settings: Settings) -> SpeechSynthesizer | None:
    """Return the engine; ``None`` if the settings name none.

    Raises:
        SettingsError: If the engine or one of its files is missing.
    """
    if not settings.synthesizer:
        return None
    return ReadAhead(_choose_engine(settings), settings.synthesizer_prebuffer_ms / 1000)


def _choose_engine(settings: Settings) -> SpeechSynthesizer:
    match settings.synthesizer:
        case "espeak-ng":
            return espeak_ng(settings.synthesizer_voice)
        case "piper":
            return piper(settings.synthesizer_voice)
        case url:
            return SpeechEndpoint(
                url,
                voice=settings.synthesizer_voice or DEFAULT_VOICE,
                model=settings.synthesizer_model,
                response_format=settings.synthesizer_format,
                key=read_key("synthesizer_key_file", settings.synthesizer_key_file),
            )
