"""An end of turn by what was said: who stops at "and", "my number is" or "um" is given time to go on.

``lipstream serve --config kiosk.toml --end-of-turn examples/finished_sentence.py:load``; docs/KIOSK.md says more.
The words so far come from the server's own transcriber, so its answer has to be quicker than a visitor is impatient.
"""

import re

import numpy as np

from lipstream.realtime.agent.end_of_turn import Transcribe

GOES_ON = {
    "en": "a an the this my your our their and or but so because if when while that which who with without of for from "
    "to in on at by about into is are was were will would can could should i we he she they um uh er like well",
    "de": "der die das ein eine einen mein meine und oder aber weil wenn dass mit ohne von für zu im am auf ist sind "
    "war ich wir äh ähm also",
    "fr": "le la les une des mon ma mes et ou mais parce que avec sans de du pour à dans est sont je nous euh",
    "es": "el los las una mi y o pero porque si con sin para en es son yo eh",
}
"""Words after which a sentence goes on, unless it is a question."""
_GOES_ON = frozenset(word for words in GOES_ON.values() for word in words.split())
_OPEN = ("...", "…", ",", ";", ":", "-")


class FinishedSentence:
    """Takes a turn for finished unless its last word, or its punctuation, asks for more."""

    async def has_finished(self, speech: np.ndarray, transcribe: Transcribe) -> bool:
        """Return whether the words so far can be all; no words are none."""
        text = (await transcribe(speech)).strip()
        words = re.findall(r"[^\W\d_]+|\d+", text.lower())
        if text.endswith("?"):
            return True
        return bool(words) and words[-1] not in _GOES_ON and not text.endswith(_OPEN)


def load() -> FinishedSentence:
    """Return the detection; called once, at the server's start."""
    return FinishedSentence()
