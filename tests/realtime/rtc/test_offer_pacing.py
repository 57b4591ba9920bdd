import asyncio

from lipstream.realtime.rtc.offer_pacing import OfferPacing


async def test_no_two_turns_are_in_one_round_of_the_loop() -> None:
    pacing, rounds, taken = OfferPacing(), 0, []

    async def count() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            await asyncio.sleep(0)

    async def work(name: str) -> None:
        for _ in range(3):
            await pacing.wait_turn()
            taken.append((rounds, name))

    counting = asyncio.create_task(count())
    async with asyncio.TaskGroup() as group:
        for name in "abcd":
            group.create_task(work(name))
    counting.cancel()
    at = [round_ for round_, _ in taken]
    assert len(set(at)) == len(at) == 12
    assert [name for _, name in taken] == list("abcd" * 3), "one after another"


async def test_whoever_gives_up_waiting_holds_nobody_up() -> None:
    pacing = OfferPacing()
    waiting = [asyncio.create_task(pacing.wait_turn()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    waiting[1].cancel()
    await waiting[2]
    await pacing.wait_turn()
