"""What programs send instead of samples is told once, and the next utterance is heard."""

import base64

import pytest

from lipstream.realtime.api.program_sound import BASE64_REFUSED, ProgramSound
from lipstream.realtime.audio.pcm_queue import PcmQueue
from lipstream.realtime.errors import BadRequestError
from tests.realtime.synthesis.test_odd_sound import PCM, RATE_HZ, encoded, wave

NO_SAMPLES = {
    "WebM, as browsers record it": (encoded("webm", "libopus"), "matroska"),
    "Ogg": (encoded("ogg", "libopus"), "ogg"),
    "MP3": (encoded("mp3", "libmp3lame", 24_000), "mp3"),
    "FLAC": (encoded("flac", "flac"), "flac"),
    "base64 in binary frames": (base64.b64encode(PCM), BASE64_REFUSED),
    "a page": (b"<!DOCTYPE html><p>Not found", "text"),
    "a WAV file of an unread kind": (wave(kind=17, bits=4), "not read"),
}


@pytest.mark.parametrize(("sent", "told"), NO_SAMPLES.values(), ids=NO_SAMPLES)
def test_a_file_is_refused_and_the_next_utterance_is_heard(sent: bytes, told: str) -> None:
    queue = PcmQueue(RATE_HZ)
    sound = ProgramSound(queue)
    with pytest.raises(BadRequestError, match=told):
        sound.push(sent[:4000])
    assert sound.push(sent[4000:]) == ""
    assert queue.pushed == 0
    sound.end()
    assert sound.push(PCM) == ""
    assert queue.pushed > 0
