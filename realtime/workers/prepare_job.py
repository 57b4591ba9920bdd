"""``python -m lipstream.realtime.workers.prepare_job``: prepares one avatar as a render worker would, and says how far.

The job is JSON on standard input: ``id``, the avatar's, and ``settings``, the fields of the worker's settings. The
answers are lines of JSON on standard output: ``{"progress": 0..1}``, then ``{"done": true}`` or
``{"failed": message}``.
"""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from lipstream.avatar_cache.job_messages import answer, tell
from lipstream.avatar_cache.prepare import prepare
from lipstream.avatar_cache.store import AvatarStore
from lipstream.memory_order import JOB, end_before_server
from lipstream.realtime.lipsync.metadata import Pads
from lipstream.realtime.workers.render_worker import WorkerSettings, named


def to_job(avatar_id: str, settings: WorkerSettings) -> bytes:
    """Return the job for an avatar as JSON."""
    return json.dumps({"id": avatar_id, "settings": dataclasses.asdict(settings)}, default=str).encode()


def _prepare(job: dict[str, Any]) -> None:
    fields = job["settings"]
    pads = Pads(*fields["pads"]) if fields["pads"] else None
    fields |= {"weights": Path(fields["weights"]), "store": Path(fields["store"]), "pads": pads, "quick_start": False}
    settings = WorkerSettings(**fields)
    avatar = AvatarStore(settings.store).load(job["id"])
    prepare(avatar, named(settings.predictor)(settings), progress=lambda share: tell(progress=share))


def main() -> int:
    """Run the job; return the exit status."""
    end_before_server(JOB)
    return answer(lambda: _prepare(json.load(sys.stdin)))


if __name__ == "__main__":
    sys.exit(main())
