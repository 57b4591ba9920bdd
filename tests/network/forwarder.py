"""Carries packets between two TUN devices, each way by its conditions; a process of its own, for its timing's sake.

Started with the two devices' file descriptors. A line of JSON on standard input replaces both directions' conditions;
the answer is a line with the packets passed and dropped so far.
"""

import dataclasses
import heapq
import json
import os
import select
import socket
import sys
import time
from io import FileIO

from tests.network.conditions import Conditions, Direction

MTU_BYTES = 2048
MAX_BATCH = 64
PROTOCOL_AT = 9
"""In the header of IPv4."""


def forward(devices: tuple[int, int]) -> None:
    """Carry packets until standard input ends."""
    directions = {devices[0]: Direction(1), devices[1]: Direction(2)}
    other = {devices[0]: devices[1], devices[1]: devices[0]}
    waiting: list[tuple[float, int, int, bytes]] = []
    count = 0
    orders = FileIO(sys.stdin.fileno(), closefd=False)  # nothing may wait in a buffer unseen
    while True:
        timeout_s = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        readable, _, _ = select.select([*devices, sys.stdin.fileno()], [], [], timeout_s)
        for device in devices:
            for _ in range(MAX_BATCH if device in readable else 0):
                try:
                    packet = os.read(device, MTU_BYTES)
                except BlockingIOError:
                    break
                if directions[device].conditions.no_udp and packet[PROTOCOL_AT] == socket.IPPROTO_UDP:
                    continue
                due_s = directions[device].due_s(len(packet), time.monotonic())
                if due_s is not None:
                    count += 1
                    heapq.heappush(waiting, (due_s, count, other[device], packet))
        now_s = time.monotonic()
        while waiting and waiting[0][0] <= now_s:
            _, _, device, packet = heapq.heappop(waiting)
            try:
                os.write(device, packet)
            except OSError:
                directions[other[device]].dropped += 1
        if sys.stdin.fileno() in readable:
            line = orders.readline()
            if not line:
                return
            for direction, wanted in zip(directions.values(), json.loads(line) or [], strict=False):
                burst = wanted.pop("burst")
                direction.conditions = Conditions(**wanted, burst=tuple(burst) if burst else None)
            counts = [{"passed": d.passed, "dropped": d.dropped} for d in directions.values()]
            print(json.dumps(counts), flush=True)


def order(*conditions: Conditions) -> bytes:
    """Return the line that sets conditions, or, without any, only asks for the counts."""
    return json.dumps([dataclasses.asdict(one) for one in conditions]).encode() + b"\n"


if __name__ == "__main__":
    forward((int(sys.argv[1]), int(sys.argv[2])))
