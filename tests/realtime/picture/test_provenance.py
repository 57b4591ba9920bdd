import json
from pathlib import Path

import av
import numpy as np
import pytest

from lipstream.realtime.picture.provenance import DIGITAL_SOURCE_TYPE, content_id, open_marked, provenance


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv"])
def test_a_file_says_that_it_is_made_by_ai(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    facts = provenance("f" * 32, avatar="Zoë", consent="her own", producer="市政厅")
    with open_marked(path, facts) as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for packet in stream.encode(av.VideoFrame(64, 64, "yuv420p")) + stream.encode(None):
            container.mux(packet)
    with av.open(str(path)) as container:
        read = {name.lower(): value for name, value in container.metadata.items()}
    assert "Made by AI" in read["comment"]
    assert "'Zoë', whose consent is on record" in read["comment"]
    assert "her own" not in str(read)
    assert read["digital_source_type"] == DIGITAL_SOURCE_TYPE
    implicit = json.loads(read["aigc"])
    assert (implicit["Label"], implicit["ContentProducer"], implicit["ProduceID"]) == ("1", "市政厅", "f" * 32)


def test_an_id_tells_ingredients_apart() -> None:
    sound = np.arange(8, dtype=np.float32)
    assert content_id(sound, "ann") == content_id(sound.copy(), "ann")
    others = {content_id(sound, "an", "n"), content_id(sound[1:], "ann"), content_id(sound, "bob"), content_id("ann")}
    assert len(others | {content_id(sound, "ann")}) == 5
