"""A connection that is closed in the moment in which it comes about leaves nothing behind."""

import asyncio

import pytest
from aiortc.rtcdtlstransport import RTCDtlsTransport

from lipstream.realtime.test_client.caller import Caller
from tests.loopback.conftest import Callers, Serve, until


async def test_senders_that_start_while_the_connection_closes_end_with_it(
    serve: Serve,
    callers: Callers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connected, go_on = asyncio.Event(), asyncio.Event()
    start, stop = RTCDtlsTransport.start, RTCDtlsTransport.stop
    held: list[RTCDtlsTransport] = []

    async def held_start(self: RTCDtlsTransport, parameters: object) -> None:
        await start(self, parameters)  # type: ignore[arg-type]
        if self in held:
            connected.set()
            await go_on.wait()

    async def late_stop(self: RTCDtlsTransport) -> None:
        if self in held:
            go_on.set()
            for _ in range(20):  # the connection goes on meanwhile
                await asyncio.sleep(0)
        await stop(self)

    monkeypatch.setattr(RTCDtlsTransport, "start", held_start)
    monkeypatch.setattr(RTCDtlsTransport, "stop", late_stop)
    sessions = await serve()
    session, _ = await sessions.create("ann", None)
    before = {task.get_coro().__qualname__ for task in asyncio.all_tasks()}  # type: ignore[union-attr]
    caller: Caller = await callers.dial()
    answer = await session.answer(await caller.offer())
    connection = session.speaker._connection
    assert connection is not None
    held += [transceiver.receiver.transport for transceiver in connection.getTransceivers()]
    accepting = asyncio.create_task(caller.accept(answer))
    async with asyncio.timeout(60):
        await connected.wait()
    await sessions.delete(session.id)
    await accepting
    await callers.hang_up()

    def left() -> set[str]:
        names = {task.get_coro().__qualname__ for task in asyncio.all_tasks()}  # type: ignore[union-attr]
        return {name for name in names - before if "_run_rt" in name}

    await until(lambda: not left(), "the senders' end")
