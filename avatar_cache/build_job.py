"""``python -m avatar_cache.build_job``: builds one avatar in a process of its own, with bounds on time and memory.

The job is JSON on standard input: ``store``, ``source``, ``id``, ``name``, ``licence``, ``consent``, ``face``, ``rest``
and ``eyes_shut`` (optional), ``motion`` (to change that clip of the avatar; without ``source`` it is taken away),
``limits`` (the fields of `media_reader.Limits`), ``weights``, ``device``, ``pads`` and
``model`` (optional), ``memory_bytes``, ``cpu_s``. The answers are lines of JSON on standard output:
``{"progress": 0..1}``, then ``{"done": true}`` or ``{"failed": message}``.
"""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lipstream.avatar_cache.face_track import BY_HAND
from lipstream.avatar_cache.job_messages import answer, tell
from lipstream.avatar_cache.media_reader import Limits, open_source
from lipstream.memory_order import JOB, end_before_server

if TYPE_CHECKING:
    from lipstream.avatar_cache.clip_builder import BuildOptions

_BUILD_SHARE = 0.7
"""Share of the build in the progress; the rest is the preparation for the network."""


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
    end_before_server(JOB)


def _build(job: dict[str, Any]) -> None:
    limits = Limits(**job["limits"])
    for path in filter(None, (job.get("source"), job.get("eyes_shut"))):
        open_source(Path(path), limits, side=1)  # refuses unreadable files before the networks are loaded

    from lipstream.avatar_cache.clip_builder import BuildOptions  # noqa: PLC0415 (as above)
    from lipstream.avatar_cache.prepare import prepare  # noqa: PLC0415 (as above)
    from lipstream.avatar_cache.store import AvatarStore  # noqa: PLC0415 (as above)
    from lipstream.realtime.lipsync.backends import create_predictor  # noqa: PLC0415 (as above)
    from lipstream.realtime.lipsync.metadata import Pads  # noqa: PLC0415 (as above)

    store = AvatarStore(job["store"])
    if motion := job.get("motion"):
        avatar = store.add_motions(
            job["id"],
            {motion: Path(job["source"])} if job.get("source") else {},
            options=BuildOptions(face=job["face"], limits=limits),
            without=() if job.get("source") else (motion,),
            progress=_tell_build,
        )
    else:
        avatar = store.build(job["source"], job["id"], options=_options(job, limits), progress=_tell_build)
    pads = Pads(*job["pads"]) if job.get("pads") else None
    try:
        predictor = create_predictor(
            Path(job["weights"]),
            device=job["device"],
            cache=store.graphs,
            threads=1,
            pads=pads,
            model=job.get("model", ""),
        )
        prepare(avatar, predictor, progress=lambda share: tell(progress=_BUILD_SHARE + (1 - _BUILD_SHARE) * share))
    except BaseException:
        if not motion:
            store.remove(job["id"], missing_ok=True)
        raise


def _tell_build(share: float) -> None:
    tell(progress=_BUILD_SHARE * share)


def _options(job: dict[str, Any], limits: Limits) -> "BuildOptions":
    from lipstream.avatar_cache.clip_builder import BuildOptions  # noqa: PLC0415 (as above)

    return BuildOptions(
        name=job["name"],
        licence=job["licence"],
        consent=job["consent"],
        face=job["face"],
        rest=job.get("rest"),
        eyes_shut=Path(job["eyes_shut"]) if job.get("eyes_shut") else None,
        limits=limits,
    )


def main() -> int:
    """Run the job; return the exit status."""
    job = json.load(sys.stdin)
    _bound(job)
    return answer(lambda: _build(job), leave_out=BY_HAND)


if __name__ == "__main__":
    sys.exit(main())
