# ruff: noqa: RUF001 (phonetic letters look like other letters)
"""Maps phone names of other synthesisers to the set of `training.visemes`, by the shape of the lips."""

from __future__ import annotations

from collections.abc import Sequence

from training.visemes import Phone, is_closed

_IPA = {
    "a": "aa", "ɑ": "aa", "ɐ": "ah", "æ": "ae", "ʌ": "ah", "ə": "ax", "ɘ": "ax", "ɜ": "er", "ɚ": "er", "ɝ": "er",
    "ɔ": "ao", "o": "ow", "ɒ": "ao", "e": "ey", "ɛ": "eh", "i": "iy", "ɪ": "ih", "ɨ": "ih", "ᵻ": "ih", "y": "uw",
    "ʏ": "uh", "ø": "uw", "œ": "er", "u": "uw", "ʊ": "uh", "ɯ": "ih", "ɤ": "ah", "p": "p", "b": "b", "m": "m",
    "f": "f", "v": "v", "ʋ": "v", "β": "v", "ɸ": "f", "t": "t", "d": "d", "n": "n", "ʈ": "t", "ɖ": "d", "ɳ": "n",
    "s": "s", "z": "z", "ɕ": "sh", "ʑ": "zh", "ʃ": "sh", "ʒ": "zh", "ʂ": "sh", "ʐ": "zh", "θ": "th", "ð": "dh",
    "k": "k", "ɡ": "g", "g": "g", "ŋ": "ng", "x": "hh", "ɣ": "g", "χ": "hh", "ç": "hh", "ʝ": "y", "c": "k", "ɟ": "g",
    "l": "l", "ɫ": "l", "ɭ": "l", "ʎ": "y", "ʟ": "l", "r": "d", "ɾ": "d", "ɽ": "d", "ɹ": "r", "ɻ": "r", "ʁ": "g",
    "ʀ": "g", "j": "y", "w": "w", "ɥ": "w", "ʍ": "w", "h": "hh", "ɦ": "hh", "ɲ": "n", "q": "k", "ʔ": "hh",
}  # fmt: skip
_RUSSIAN = {
    "a": "aa", "e": "eh", "i": "iy", "o": "ao", "u": "uw", "y": "ih", "b": "b", "c": "s", "ch": "ch", "d": "d",
    "f": "f", "g": "g", "h": "k", "j": "y", "k": "k", "l": "l", "m": "m", "n": "n", "p": "p", "r": "d", "s": "s",
    "sch": "sh", "sh": "sh", "t": "t", "v": "v", "z": "z", "zh": "zh", "ay": "ax", "ae": "eh",
}  # fmt: skip
_JAPANESE = {
    "a": "aa", "i": "ih", "u": "ax", "e": "eh", "o": "ow", "I": "ih", "U": "ax", "p": "p", "py": "p", "b": "b",
    "by": "b", "m": "m", "my": "m", "f": "f", "w": "w", "t": "t", "ts": "s", "ch": "ch", "d": "d", "n": "n", "ny": "n",
    "s": "s", "sh": "sh", "z": "z", "j": "jh", "k": "k", "ky": "k", "kw": "k", "g": "g", "gy": "g", "h": "hh",
    "hy": "hh", "r": "d", "ry": "d", "y": "y", "v": "b", "ty": "t", "dy": "d", "N": "n",
}  # fmt: skip


def from_ipa(symbol: str, start_s: float, end_s: float) -> list[Phone]:
    """Return the phones of an IPA symbol, several for a diphthong or an affricate; ``pau`` for an unknown one.

    Length marks, stress and other modifiers belong to their letter.
    """
    letters = [_IPA[letter] for letter in symbol if letter in _IPA] or ["pau"]
    step = (end_s - start_s) / len(letters)
    return [Phone(name, start_s + i * step, start_s + (i + 1) * step) for i, name in enumerate(letters)]


def from_russian(name: str) -> str:
    """Return the phone for a name of festival's Russian voice, which doubles stressed and soft sounds."""
    if name not in _RUSSIAN and name[: len(name) // 2] * 2 == name:
        name = name[: len(name) // 2]
    return _RUSSIAN.get(name, "pau")


def from_japanese(names: Sequence[str]) -> list[str]:
    """Return the phones for a row of Open JTalk's phone names.

    In the moraic nasal and the doubling the lips have the shape of the next phone.

    The Japanese u is spoken with lips at rest.
    """
    found: list[str] = []
    for name in reversed(names):
        after = found[-1] if found else "pau"
        if name == "cl" or (name == "N" and is_closed(after)):
            found.append("m" if name == "N" else after)
        else:
            found.append(_JAPANESE.get(name, "pau"))
    return found[::-1]
