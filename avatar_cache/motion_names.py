"""Checks the names of clips that are to be added to an avatar."""

from collections.abc import Iterable

from lipstream.avatar_cache.motion_graph import IDLE, MOTION_PATTERN
from lipstream.realtime.errors import AvatarError


def check_motion_names(names: Iterable[str]) -> None:
    """Check the names of clips that are to be added.

    Raises:
        AvatarError: If one is no name, or `idle`, which is the avatar's own clip.
    """
    for name in names:
        if not MOTION_PATTERN.fullmatch(name):
            raise AvatarError(f"the motion's name {name!r} must match {MOTION_PATTERN.pattern}")
        if name == IDLE:
            raise AvatarError(f"{IDLE!r} is the clip that the avatar is built from")
