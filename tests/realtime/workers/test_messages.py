"""Each message arrives as the same type with the same fields; JSON makes lists of tuples."""

import json
from typing import Any

import pytest

from lipstream.realtime.workers import picture_messages, render_messages
from lipstream.realtime.workers.messages import by_name, pack, unpack

MESSAGES = [
    *(
        (render_messages.TO_WORKER, message)
        for message in (
            render_messages.UseMemory("psm_1"),
            render_messages.LoadAvatar(3, "ann"),
            render_messages.ForgetAvatar(3),
            render_messages.DrawJobs(
                [render_messages.Job(0, 3, 17, 5, 40, True, 1.2), render_messages.Job(1, 3, 18, 5, 41, False, 0.5)]
            ),
        )
    ),
    *(
        (render_messages.FROM_WORKER, message)
        for message in (
            render_messages.WorkerReady('{"name": "x"}', "cuda:0"),
            render_messages.AvatarProgress("ann", 0.5),
            render_messages.AvatarLoaded(3),
            render_messages.AvatarLoaded(3, "no avatar 'ann'"),
            render_messages.MouthCost(7, 0.1, 0.2),
            render_messages.MouthsDrawn([0], [1], 1, [(2, 0.001, 0.002)], 0.003),
            render_messages.WorkerFailed("it is gone\nfor good", "device"),
        )
    ),
    *(
        (picture_messages.TO_WORKER, message)
        for message in (
            picture_messages.UseMemory("psm_1", [1, 2, 3, 4]),
            picture_messages.MakePicture(1, 2, ["ann", "f", 3, None], 4, None, 0.5, [("video/vp8", None, True, 1)]),
            picture_messages.CloseStream(1),
        )
    ),
    *(
        (picture_messages.FROM_WORKER, message)
        for message in (
            picture_messages.PicturesReady(),
            picture_messages.PictureEncoded(1, [(True, 5, 6, [2, 0])], 0.1),
            picture_messages.PictureNotMade(1, "ValueError: no"),
        )
    ),
]


@pytest.mark.parametrize(("types", "message"), MESSAGES, ids=[type(message).__name__ for _, message in MESSAGES])
@pytest.mark.parametrize("payload", [b"", b"\n\x00{}\n"])
def test_a_message_arrives_as_it_was_sent(
    types: dict[str, type[Any]], message: tuple[Any, ...], payload: bytes
) -> None:
    came, after = unpack(types, pack(message, payload))
    assert type(came) is type(message)
    assert json.dumps(came) == json.dumps(message)
    assert after == payload


def test_every_message_is_tried_here() -> None:
    tables = (
        render_messages.TO_WORKER,
        render_messages.FROM_WORKER,
        picture_messages.TO_WORKER,
        picture_messages.FROM_WORKER,
    )
    for types in tables:
        assert by_name(*{type(message) for known, message in MESSAGES if known is types}) == types
