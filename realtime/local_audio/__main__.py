"""``python -m realtime.local_audio``: list the microphones and loudspeakers of this machine."""

import argparse
import dataclasses
import json
import sys

from realtime.errors import SettingsError
from realtime.local_audio.sound_devices import list_devices


def main() -> int:
    """Print a line for each device."""
    parser = argparse.ArgumentParser(prog="python -m realtime.local_audio", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print them as a JSON list")
    chosen = parser.parse_args()
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
