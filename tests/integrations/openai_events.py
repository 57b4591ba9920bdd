"""Reads events of OpenAI's Realtime API, strictly, with the types of the official client.

``python -m tests.integrations.openai_events FILE`` in an environment with ``openai``: the file has the events of server
and client, in two lists. It fails on one that the client's types do not know or that lacks a field.
"""

import json
import sys
from pathlib import Path
from typing import Any

from openai.types.realtime import RealtimeClientEvent, RealtimeServerEvent
from pydantic import TypeAdapter


def main(file: Path) -> None:
    by_server, by_client = json.loads(file.read_text())
    for types, events in ((RealtimeServerEvent, by_server), (RealtimeClientEvent, by_client)):
        adapter: TypeAdapter[Any] = TypeAdapter(types)
        for event in events:
            assert adapter.validate_python(event).type == event["type"]
    print(len(by_server) + len(by_client), "events")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
