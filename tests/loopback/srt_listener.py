"""A listener that is not ours, Haivision's: it writes what comes by SRT into a file."""

import asyncio
from typing import IO


async def listen_for_srt(address: str, received: IO[bytes]) -> asyncio.subprocess.Process:
    """Return a process that ends with the first connection.

    Args:
        address: ``srt://…?mode=listener``.
        received: Gets MPEG-TS.
    """
    return await asyncio.create_subprocess_exec(
        "srt-live-transmit", "-q", "-a:no", address, "file://con", stdout=received, stderr=asyncio.subprocess.DEVNULL
    )
