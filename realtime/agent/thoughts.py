"""Leaves a model's thoughts out of an answer that arrives in pieces.

Thoughts stand in tags, which differ between models. The templates of some models write the opening tag themselves, so
that the answer begins in the middle of a thought and only its end is marked.
"""

import logging
import re

logger = logging.getLogger(__name__)

_NAMES = (
    "think|thinking|thought|thoughts|reasoning|reason|reflection|scratchpad|inner_monologue|antthinking|seed:think|"
    "tool_call|tool_calls|tool_response|function_call|function_calls"
)
"""Names of tags; calls of tools that a server leaves in the text are not said either."""
_BEGIN = re.compile(
    rf"<({_NAMES})>|\[(think)\]|◁(think)▷|<\|(begin_of_thought|start_thinking)\|>|<\|(channel)\|>(?:analysis|commentary)\b",
    re.IGNORECASE,
)
_END = re.compile(
    rf"</(?:{_NAMES})>|\[/think\]|◁/think▷|<\|end_(?:of_thought|thinking)\|>|<\|channel\|>final<\|message\|>",
    re.IGNORECASE,
)
_EITHER = re.compile(f"{_BEGIN.pattern}|{_END.pattern}", re.IGNORECASE)
_TAGS = (
    *(f"<{slash}{name}>" for name in _NAMES.split("|") for slash in ("", "/")),
    *("[think]", "[/think]", "◁think▷", "◁/think▷"),
    *("<|begin_of_thought|>", "<|end_of_thought|>", "<|start_thinking|>", "<|end_thinking|>"),
    *("<|channel|>analysis", "<|channel|>commentary", "<|channel|>final<|message|>"),
)
_LONGEST_TAG = max(map(len, _TAGS))
_MOST_HELD = 4_000
"""Characters kept of an answer that may begin in a thought, in case it does not."""

_THINKERS = re.compile(r"deepseek-?r1|\bqwq\b|thinking|magistral|gpt-oss", re.IGNORECASE)
"""Names of models whose templates begin a thought."""


class ThinkingHabit:
    """Knows whether a model's answers begin in a thought whose beginning is not marked.

    It guesses from the model's name, and learns from every answer.

    Args:
        model: Name of the model.
    """

    def __init__(self, model: str) -> None:
        self.begins_in_thought = _THINKERS.search(model) is not None

    def learn(self, *, begins_in_thought: bool) -> None:
        """Take note of a whole answer."""
        if begins_in_thought and not self.begins_in_thought:
            logger.warning(
                "the chat's answer began with a thought whose beginning is not marked: its next answers are held back "
                "until their thoughts end"
            )
        self.begins_in_thought = begins_in_thought


class Thoughts:
    """Passes on what is said.

    Args:
        begins_in_thought: Whether the answer is held back until a thought ends; an answer without such an end is
            passed on at its end.

    Attributes:
        unopened: Number of ends of thoughts that no tag had begun.
    """

    def __init__(self, *, begins_in_thought: bool = False) -> None:
        self.unopened = 0
        self._holds, self._held = begins_in_thought, ""
        self._thinks = False
        self._rest = ""  # may be the beginning of a tag

    def push(self, piece: str) -> str:
        """Return the text that a piece adds. Text before an end that no tag began is dropped as far as possible."""
        text, shown = self._rest + piece, ""
        at = 0
        while found := (_END if self._thinks else _EITHER).search(text, at):
            before, at = text[at : found.start()], found.end()
            if self._thinks:
                self._thinks = False
            elif found.lastindex:
                shown += before
                self._thinks = True
            else:
                self.unopened += 1
                shown = self._held = ""
            if not found.lastindex:
                self._holds = False
        safe = _safe_end(text, at)
        self._rest = text[safe:]
        if not self._thinks:
            shown += text[at:safe]
        return self._hold(shown)

    def flush(self) -> str:
        """Return the rest of the text at the end of the answer."""
        rest, self._rest, self._holds = self._rest, "", False
        held, self._held = self._held, ""
        return held if self._thinks else held + rest

    def _hold(self, shown: str) -> str:
        if self._holds:
            self._held = (self._held + shown)[:_MOST_HELD]
            return ""
        held, self._held = self._held, ""
        return held + shown


def _safe_end(text: str, at: int) -> int:
    """Return where the text's end may be the beginning of a tag; the text's length if it is not."""
    for begin in range(max(at, len(text) - _LONGEST_TAG), len(text)):
        if text[begin] in "<[◁" and any(tag.startswith(text[begin:].lower()) for tag in _TAGS):
            return begin
    return len(text)
