"""Does a kiosk with a loudspeaker hear itself, and does it hear its visitors?

Recorded prompts (Debian's ``asterisk-core-sounds-en-wav``) are the avatar's answers. The microphone hears them again,
after some time and with the echoes of a room, softer or louder than they are; visitors, other prompts, speak into each
answer three seconds after its beginning. Answers and visitors have -26 dBFS, so an echo of 0 dB is as loud as a
visitor. Echo gate and turn detector run as in a conversation: a turn that begins silences the answer.

A turn begins falsely if nobody speaks: then the avatar interrupts itself. A visitor is not heard if no turn begins
while they speak; words are cut off if it begins more than 300 ms after the first sound, which are kept from before it.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from benchmarks.report import Report, at_most
from benchmarks.room_sounds import Sound, at_level
from benchmarks.turns import NAMES, PROMPTS, faults_of, loud_part
from lipstream.realtime.audio.echo_gate import EchoGate
from lipstream.realtime.audio.resample import Resampler
from lipstream.realtime.audio.turn_detector import TurnBegan, TurnDetector, TurnEnded
from lipstream.realtime.render import read_sound
from lipstream.realtime.timeline import BLOCK_SAMPLES, BLOCK_SOUND, SAMPLE_RATE_HZ, SOUND_PER_SAMPLE, SOUND_RATE_HZ

QUESTION = "Does a kiosk with a loudspeaker hear itself, and does it hear its visitors?"
ANSWERS = (
    "tt-allbusy", "demo-nogo", "vm-opts-full", "dir-intro", "confbridge-mute-extended", "conf-usermenu",
    "vm-msginstruct", "demo-moreinfo", "demo-abouttotry", "vm-options", "conf-adminmenu-menu8", "screen-callee-options",
)  # fmt: skip
ECHOES_DB = (-20, -10, 0, 6)
DELAYS_MS = (20, 200, 450)
"""From the loudspeaker to the microphone's sound at the server, the queues of both included."""
_DBFS = -26.0
_ANSWER_S, _EVERY_S, _VISITOR_AFTER_S = 8.5, 12, 3
_DELAY_SAMPLES = 1280
"""From entering the timeline to leaving it, 16 kHz: the look-ahead of the built-in weights and 20 ms."""
_ROOM_S, _ROOM_FALL_S, _ROOM_SHARE = 0.2, 0.06, 0.015
_FLOOR = 1e-4


@dataclass
class Answers:
    """The avatar's answers and their echoes at the microphone, 48 kHz, while nobody interrupts.

    Attributes:
        said: ``float32[n]`` that enters the timeline.
        echo: ``float32[n]`` that the microphone hears of it.
    """

    said: Sound
    echo: Sound
    room: Sound
    _starts: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, prompts: list[Sound], room: Sound) -> "Answers":
        """Return answers that begin every twelve seconds."""
        size = len(prompts) * _EVERY_S * SOUND_RATE_HZ
        answers = cls(np.zeros(size, np.float32), np.zeros(size, np.float32), room)
        for number, prompt in enumerate(prompts):
            start = number * _EVERY_S * SOUND_RATE_HZ
            answers.said[start : start + prompt.size] = prompt
            answers._starts.append(start)
            answers._sound(start)
        return answers

    def interrupt(self, at: int) -> None:
        """Silence what has not left at a position; the microphone hears the rest of it no more."""
        start = max(begin for begin in self._starts if begin < at)
        end = start + _EVERY_S * SOUND_RATE_HZ
        self.said[max(start, at - _DELAY_SAMPLES * SOUND_PER_SAMPLE) : end] = 0
        self._sound(start)

    def _sound(self, start: int) -> None:
        """Work out the echo of the answer that begins at a position."""
        end = start + _EVERY_S * SOUND_RATE_HZ
        late = start + _DELAY_SAMPLES * SOUND_PER_SAMPLE
        self.echo[late:end] = convolve(self.said[start:end], self.room)[: end - late]


def convolve(sound: Sound, room: Sound) -> Sound:
    """Return what a room makes of a sound, ``float32[n + m - 1]``."""
    size = sound.size + room.size - 1
    length = 1 << (size - 1).bit_length()
    heard: npt.NDArray[np.float64] = np.fft.irfft(np.fft.rfft(sound, length) * np.fft.rfft(room, length), length)
    return heard[:size].astype(np.float32)


def room_of(echo_db: float, delay_ms: int) -> Sound:
    """Return the way from a loudspeaker to a microphone, ``float32[n]``: the direct sound and its fading echoes."""
    delay, length = delay_ms * SOUND_RATE_HZ // 1000, round(_ROOM_S * SOUND_RATE_HZ)
    fall = np.exp(-np.arange(length) / (_ROOM_FALL_S * SOUND_RATE_HZ))
    way = np.zeros(delay + length, np.float32)
    way[delay:] = _ROOM_SHARE * np.random.default_rng(1).standard_normal(length) * fall
    way[delay] = 1
    return way * np.float32(10 ** (echo_db / 20) / np.sqrt(np.sum(np.square(way))))


def prompts(names: tuple[str, ...], longest_s: float) -> list[Sound]:
    """Return the loud parts of prompts at the level of a speaker, ``float32[n]`` each, 48 kHz."""
    sounds = []
    for name in names:
        sound = read_sound(PROMPTS / f"{name}.wav")
        first, end = loud_part(sound, BLOCK_SOUND)
        sounds.append(at_level(sound[first : min(end, first + round(longest_s * SOUND_RATE_HZ))], 1.0, _DBFS))
    return sounds


def converse(answers: Answers, visitors: list[Sound]) -> dict[str, int]:
    """Return the faults of one conversation.

    Args:
        answers: The avatar's side; changed by interruptions.
        visitors: What visitors say into the answers, 48 kHz; empty for none.
    """
    microphone = (_FLOOR * np.random.default_rng(2).standard_normal(answers.said.size)).astype(np.float32)
    spans = []
    for number, sound in enumerate(visitors):
        start = (number * _EVERY_S + _VISITOR_AFTER_S) * SOUND_RATE_HZ
        microphone[start : start + sound.size] += sound
        spans.append((start // SOUND_PER_SAMPLE, (start + sound.size) // SOUND_PER_SAMPLE))
    gate, turns, resampler = EchoGate(_DELAY_SAMPLES), TurnDetector(), Resampler(SOUND_RATE_HZ, SAMPLE_RATE_HZ)
    began: list[int] = []
    ended: list[int] = []
    for index in range(microphone.size // BLOCK_SOUND):
        now, end = slice(index * BLOCK_SOUND, (index + 1) * BLOCK_SOUND), (index + 1) * BLOCK_SAMPLES
        heard = microphone[now] + answers.echo[now]
        gate.note_said(answers.said[now], end)
        hidden = not gate.lets_in(heard, end)
        for event in turns.push(resampler.push(heard), end, hidden=hidden):
            if isinstance(event, TurnBegan):
                began.append(event.sample)
                answers.interrupt(now.stop)
                gate.clear()
            elif isinstance(event, TurnEnded):
                ended.append(end)
    return faults_of(began, ended + [microphone.size // SOUND_PER_SAMPLE] * (len(began) - len(ended)), spans)


def measure(echo_db: float, delay_ms: int, spoken: list[Sound], visitors: list[Sound]) -> dict[str, float]:
    """Return what is counted with one echo, without visitors and with them."""
    room = room_of(echo_db, delay_ms)
    alone, beside = (converse(Answers.of(spoken, room), heard) for heard in ([], visitors))
    return {
        "echo, dB": echo_db,
        "delay, ms": delay_ms,
        "interrupts itself, alone": alone["false begins"],
        "beside visitors": beside["false begins"],
        "visitors not heard": beside["missed"],
        "cut off": beside["cut off"],
        "late ends": beside["late ends"],
    }


def run() -> Report:
    """Measure each level and delay of the echo, with visitors and without."""
    spoken, visitors = prompts(ANSWERS, _ANSWER_S), prompts(NAMES, _ANSWER_S)
    report = Report(QUESTION, {"answers": len(spoken), "visitors": len(visitors)})
    report.rows = [measure(echo_db, delay_ms, spoken, visitors) for echo_db in ECHOES_DB for delay_ms in DELAYS_MS]
    itself = sum(row["interrupts itself, alone"] for row in report.rows)
    soft = [row for row in report.rows if row["echo, dB"] == ECHOES_DB[0]]
    report.goals = [
        at_most("interrupts itself", itself, 0, "times"),
        at_most("visitors not heard, echo of -20 dB", sum(row["visitors not heard"] for row in soft), 0, ""),
        at_most("cut off, echo of -20 dB", sum(row["cut off"] for row in soft), 0, ""),
    ]
    return report
