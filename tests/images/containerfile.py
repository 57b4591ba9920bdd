"""Reads a container file: its stages and their instructions. Pure, and only what deploy/ uses."""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Instruction:
    """An instruction: its word, such as ``RUN``, and the rest of its line, continued lines joined."""

    word: str
    rest: str


@dataclass(frozen=True)
class Stage:
    """A stage: what it is built on, its name (empty without one) and its instructions."""

    base: str
    name: str
    instructions: tuple[Instruction, ...]

    def all(self, word: str) -> list[str]:
        """Return the rest of each instruction with a word."""
        return [one.rest for one in self.instructions if one.word == word]


@dataclass
class Image:
    """What the last stage says of how it is run."""

    user: str = "0:0"
    folder: str = "/"
    environment: dict[str, str] = field(default_factory=dict)
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)


def parse(text: str) -> list[Stage]:
    """Return the stages of a container file.

    Raises:
        ValueError: If an instruction stands before the first ``FROM`` and is no ``ARG``.
    """
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    stages: list[Stage] = []
    for line in filter(None, map(str.strip, joined.splitlines())):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            stages.append(Stage(base, name, ()))
        elif stages:
            last = stages[-1]
            stages[-1] = Stage(last.base, last.name, (*last.instructions, Instruction(word, rest.strip())))
        elif word != "ARG":
            raise ValueError(f"{word} stands before FROM")
    return stages


def expand(text: str, values: Mapping[str, str]) -> str:
    """Return a text with its ``${NAME}`` replaced; those without a value are left empty."""
    return re.sub(r"\$\{(\w+)\}", lambda found: values.get(found[1], ""), text)


def image_of(stage: Stage) -> Image:
    """Return how the image of a stage is run."""
    image = Image()
    for one in stage.instructions:
        match one.word:
            case "USER":
                image.user = one.rest
            case "WORKDIR":
                image.folder = one.rest
            case "ENV":
                image.environment |= dict(word.split("=", 1) for word in shlex.split(one.rest))
            case "ENTRYPOINT":
                image.entrypoint = json.loads(one.rest)
            case "CMD":
                image.command = json.loads(one.rest)
            case "HEALTHCHECK":
                image.health = json.loads(one.rest.partition("CMD ")[2])
    return image
