"""The process that builds from uploads: what it may take of the machine."""

import dataclasses
import gc
import json
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from lipstream.avatar_cache.media_reader import Limits, open_source
from lipstream.realtime.lipsync.metadata import BUILT_IN_WEIGHTS
from lipstream.realtime.server.avatar_builds import MEMORY_BYTES
from tests.avatar_cache.clips import write_clip

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_a_build_is_the_first_to_go_when_memory_runs_out(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "grey.mp4", [np.full((128, 128, 3), 90, np.uint8)] * 100)
    job = {
        "id": "grey",
        "name": "",
        "licence": "",
        "consent": "",
        "face": 1,
        "source": str(clip),
        "store": str(tmp_path / "store"),
        "limits": dataclasses.asdict(Limits()),
        "weights": str(BUILT_IN_WEIGHTS),
        "device": "cpu",
        "memory_bytes": MEMORY_BYTES,
        "cpu_s": 60,
    }
    command = [sys.executable, "-m", "lipstream.avatar_cache.build_job"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(job))
        process.stdin.close()
        assert "progress" in json.loads(process.stdout.readline())
        facts = Path(f"/proc/{process.pid}")
        assert (facts / "oom_score_adj").read_text().strip() == "1000"
        (limit,) = [line for line in (facts / "limits").read_text().splitlines() if line.startswith("Max data size")]
        assert limit.split()[3] == str(MEMORY_BYTES)
        process.kill()


def test_a_long_clip_is_read_without_keeping_its_pictures(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "long.mp4", [np.full((64, 64, 3), 90, np.uint8)] * 80)
    source = open_source(clip, Limits(), side=64)
    gc.collect()
    gc.disable()  # frames in cycles would wait for it, hundreds of megabytes of a large clip
    try:
        for count, _ in enumerate(source.pictures(), 1):
            if count % 40 == 0:
                assert sum(type(thing) is av.VideoFrame for thing in gc.get_objects()) < 10
    finally:
        gc.enable()
