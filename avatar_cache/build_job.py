"""``python -m avatar_cache.build_job``: builds one avatar in a process of its own, with bounds on time and memory.

The job is JSON on standard input: ``store``, ``source``, ``id``, ``name``, ``licence``, ``consent``, ``face``,
``limits`` (the fields of `media_reader.Limits`), ``weights``, ``device``, ``pads`` (optional), ``memory_bytes``,
``cpu_s``. The answers are lines of JSON on standard output: ``{"progress": 0..1}``, then ``{"done": true}`` or
``{"failed": message}``.
"""

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from lipstream.avatar_cache.media_reader import Limits, open_source
from lipstream.realtime.errors import LipstreamError, is_no_room

_BUILD_SHARE = 0.7
"""Share of the build in the progress; the rest is the preparation for the network."""


def _tell(**message: Any) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _bound(job: dict[str, Any]) -> None:
    """Limit the processor time and memory of this process, so that a hostile file cannot exhaust the machine.

    When memory runs out, the kernel ends this process before any other of the machine or the service.
    """
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 (missing on Windows)

    resource.setrlimit(resource.RLIMIT_CPU, (job["cpu_s"], job["cpu_s"]))
    resource.setrlimit(resource.RLIMIT_DATA, (job["memory_bytes"], job["memory_bytes"]))
    os.nice(10)
    with contextlib.suppress(OSError):  # missing on other systems than Linux
        Path("/proc/self/oom_score_adj").write_text("1000")


def _build(job: dict[str, Any]) -> None:
    limits = Limits(**job["limits"])
    open_source(Path(job["source"]), limits, side=1)  # refuses unreadable files before the networks are loaded

    from lipstream.avatar_cache.clip_builder import BuildOptions  # noqa: PLC0415 (as above)
    from lipstream.avatar_cache.prepare import prepare  # noqa: PLC0415 (as above)
    from lipstream.avatar_cache.store import AvatarStore  # noqa: PLC0415 (as above)
    from lipstream.realtime.lipsync.backends import create_predictor  # noqa: PLC0415 (as above)
    from lipstream.realtime.lipsync.metadata import Pads  # noqa: PLC0415 (as above)

    store = AvatarStore(job["store"])
    options = BuildOptions(
        name=job["name"],
        licence=job["licence"],
        consent=job["consent"],
        face=job["face"],
        limits=limits,
    )
    avatar = store.build(
        job["source"], job["id"], options=options, progress=lambda share: _tell(progress=_BUILD_SHARE * share)
    )
    pads = Pads(*job["pads"]) if job.get("pads") else None
    try:
        predictor = create_predictor(
            Path(job["weights"]), device=job["device"], cache=store.graphs, threads=1, pads=pads
        )
        prepare(avatar, predictor, progress=lambda share: _tell(progress=_BUILD_SHARE + (1 - _BUILD_SHARE) * share))
    except BaseException:
        store.remove(job["id"], missing_ok=True)
        raise


def main() -> int:
    """Run the job; return the exit status."""
    job = json.load(sys.stdin)
    _bound(job)
    try:
        _build(job)
    except LipstreamError as error:
        _tell(failed=error.message)
        return 1
    except MemoryError:
        _tell(failed="the file needs more memory than one build may use")
        return 1
    except Exception as error:
        if not is_no_room(error):
            raise
        _tell(failed="the disk is full")
        return 1
    _tell(done=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
