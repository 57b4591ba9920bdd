"""The command ``lipstream``: runs the server, or the command that its first argument names.

Each command imports its modules when it is called, because child processes import this module and need none of them.
"""

import faulthandler
import functools
import gc
import os
import sys
from collections.abc import Callable, Sequence
from typing import ParamSpec

from lipstream import __version__
from lipstream.extras import is_missing, missing
from lipstream.machine import processor_fault
from lipstream.realtime import log_format
from lipstream.realtime.errors import LipstreamError, SettingsError
from lipstream.realtime.server.malloc_arenas import share_arenas
from lipstream.realtime.workers import child_process, child_signals

_Arguments = ParamSpec("_Arguments")


def _telling_missing_opencv(command: Callable[_Arguments, int]) -> Callable[_Arguments, int]:
    """Say in one sentence what to do where OpenCV cannot be loaded.

    ``opencv-python``, which other packages bring, and ``opencv-python-headless`` are the same files at the same place:
    the one installed last is loaded. The former needs the libraries of a desktop, and removing either removes both.
    """

    @functools.wraps(command)
    def run(*arguments: _Arguments.args, **named: _Arguments.kwargs) -> int:
        try:
            return command(*arguments, **named)
        except ImportError as error:
            if error.name != "cv2":
                raise
            print(
                f"lipstream: OpenCV cannot be loaded ({error}): "
                "`pip install --force-reinstall --no-deps opencv-python-headless` repairs it",
                file=sys.stderr,
            )
            return 2

    return run


@_telling_missing_opencv
def main() -> int:
    """Run the command of ``sys.argv``; return its exit status."""
    arguments = sys.argv[1:]
    first = arguments[0] if arguments else ""
    if first in ("-h", "--help", "help"):
        print(_help())
        return 0
    if first == "--version":
        print(f"lipstream {__version__}")
        return 0
    if not first or first.startswith("-"):
        return serve(arguments)
    if first not in _COMMANDS:
        print(f"lipstream: there is no command {first!r}, only {', '.join(_COMMANDS)}", file=sys.stderr)
        return 2
    run, _ = _COMMANDS[first]
    return run(arguments[1:])


@_telling_missing_opencv
def serve(arguments: Sequence[str], *, program: str = "lipstream") -> int:
    """Run the server until it is told to end.

    Args:
        program: Name of the command in usage and error messages, default ``lipstream``.

    Returns:
        The exit status: 0 for an ordered end, 1 if the server cannot start, 2 for options or a machine that do not fit.
    """
    from lipstream.realtime.settings import chosen_options, read_settings

    try:
        child_signals.ignore_hangup()
        share_arenas()
        gc.disable()  # until all is imported: it would visit what was imported again and again
        settings = read_settings(arguments, os.environ, program=program)
        if fault := processor_fault():
            raise SettingsError(fault)
        faulthandler.enable()  # where it stood, if a watchdog or a fault of a library ends it
        log_format.set_up(settings.log_level, settings.log_format)
        if settings.cluster:
            try:
                from lipstream.realtime.cluster.launching.launcher import launch_cluster
            except ModuleNotFoundError as error:
                if is_missing(error, "ray"):
                    raise missing("ray", "--cluster") from error
                raise
            gc.enable()
            launch_cluster(settings, chosen_options(arguments, os.environ, program=program))
            return 0
        if settings.workers:
            from lipstream.realtime.cluster.serving import serve_ingress

            gc.enable()
            return 0 if serve_ingress(settings) else 1
        child_process.warm_up()
        from lipstream.realtime.api.launch import launch

        return 0 if launch(settings) else 1
    except LipstreamError as error:
        print(f"{program}: {error.message}", file=sys.stderr)
        return 2
    finally:
        gc.enable()


def _render(arguments: Sequence[str]) -> int:
    from lipstream.realtime.render import main

    return main(arguments)


def _avatar(arguments: Sequence[str]) -> int:
    from lipstream.avatar_cache.__main__ import main

    return main(arguments)


def _weights(arguments: Sequence[str]) -> int:
    from lipstream.realtime.lipsync.__main__ import main

    return main(arguments, {"check": (_check, "draw a sheet: is the mouth drawn where the avatar's mouth is?")})


def _check(arguments: Sequence[str]) -> int:
    from lipstream.realtime.weights_check.__main__ import main

    return main(arguments)


def _devices(arguments: Sequence[str]) -> int:
    from lipstream.realtime.local_audio.__main__ import main

    return main(arguments)


def _doctor(arguments: Sequence[str]) -> int:
    from lipstream.realtime.doctor import main

    return main(arguments)


def _health(arguments: Sequence[str]) -> int:
    from lipstream.realtime.api.health import main

    return main(arguments)


def _selftest(arguments: Sequence[str]) -> int:
    from lipstream.realtime.selftest import main

    return main(arguments)


def _mcp(arguments: Sequence[str]) -> int:
    try:
        from lipstream.realtime.mcp.server import main
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "mcp":
            raise
        print("lipstream mcp: needs the extra `mcp`: pip install 'lipstream[mcp]'", file=sys.stderr)
        return 2
    return main(arguments)


_COMMANDS: dict[str, tuple[Callable[[Sequence[str]], int], str]] = {
    "serve": (serve, "run the server; the default command"),
    "render": (_render, "make a video of a sound file"),
    "avatar": (_avatar, "build, list, check and remove avatars"),
    "weights": (_weights, "show what a Wav2Lip checkpoint is, convert it, check it on an avatar"),
    "devices": (_devices, "list the microphones and loudspeakers of this machine"),
    "doctor": (_doctor, "find out why a call to a server fails"),
    "health": (_health, "ask this machine's server whether it serves, for a container's health check"),
    "selftest": (_selftest, "call a server and measure the call"),
    "mcp": (_mcp, "give a language model's program the tools of a session"),
}


def _help() -> str:
    lines = ["usage: lipstream [COMMAND] [OPTION ...]", "", "Live speech in, a face that says it out.", "", "commands:"]
    lines += [f"  {name:10}{meaning}" for name, (_, meaning) in _COMMANDS.items()]
    lines += ["", "lipstream COMMAND --help shows a command's options.", "lipstream --version shows the version."]
    return "\n".join(lines)
