"""``lipstream devices``: list the microphones and loudspeakers of this machine."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence

from lipstream.realtime.errors import SettingsError
from lipstream.realtime.local_audio.sound_devices import list_devices


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each device."""
    parser = argparse.ArgumentParser(
        prog="lipstream devices", description="List the microphones and loudspeakers of this machine."
    )
    parser.add_argument("--json", action="store_true", help="print them as a JSON list")
    chosen = parser.parse_args(arguments)
    try:
        devices = list_devices()
    except SettingsError as error:
        print(error.message, file=sys.stderr)
        return 1
    if chosen.json:
        print(json.dumps([dataclasses.asdict(device) for device in devices]))
        return 0
    for device in devices:
        parts = [f"{device.inputs} in"] if device.inputs else []
        parts += [f"{device.outputs} out"] if device.outputs else []
        print(f"{device.number:3}  {device.name}  ({', '.join(parts)}{', default' if device.is_default else ''})")
    if not devices:
        print("there are none")
    return 0


if __name__ == "__main__":
    sys.exit(main())
