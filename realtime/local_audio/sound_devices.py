"""Lists PortAudio's devices, and finds the one that a setting names."""

import importlib
from dataclasses import dataclass
from typing import Any, Literal

from lipstream.extras import install_line
from lipstream.realtime.errors import SettingsError

Direction = Literal["input", "output"]


class DeviceMissingError(Exception):
    """A device is missing; the message is shown to users."""


@dataclass(frozen=True, slots=True)
class SoundDevice:
    """One sound device.

    Attributes:
        number: PortAudio's number, from 0; it changes as devices come and go.
        inputs: Number of channels that the device records, 0 for none.
        outputs: Number of channels that the device plays, 0 for none.
    """

    number: int
    name: str
    inputs: int
    outputs: int
    is_default: bool


def portaudio() -> Any:
    """Return the ``sounddevice`` module.

    Raises:
        SettingsError: If it or its library is not installed.
    """
    try:
        return importlib.import_module("sounddevice")
    except (ImportError, OSError) as error:
        raise SettingsError(
            "local_microphone and local_speaker need sounddevice and PortAudio: "
            f"{install_line('sounddevice')}, and on Debian libportaudio2"
        ) from error


def list_devices(*, afresh: bool = False) -> list[SoundDevice]:
    """Return the available devices.

    Args:
        afresh: Restart PortAudio, which lists only the devices present at its start; default false. Every open stream
            ends.
    """
    sd = portaudio()
    if afresh:
        sd._terminate()  # noqa: SLF001 (there is no public way)
        sd._initialize()  # noqa: SLF001
    defaults = set(sd.default.device)
    return [
        SoundDevice(
            number=number,
            name=str(found["name"]),
            inputs=int(found["max_input_channels"]),
            outputs=int(found["max_output_channels"]),
            is_default=number in defaults,
        )
        for number, found in enumerate(sd.query_devices())
    ]


def find_device(devices: list[SoundDevice], wanted: str, direction: Direction) -> SoundDevice:
    """Return the device that a setting names.

    Args:
        wanted: Number or name of the device, part of the name, or ``default`` for the system's choice.

    Raises:
        DeviceMissingError: If no device or more than one fits.
    """
    able = [device for device in devices if (device.inputs if direction == "input" else device.outputs)]
    what = "microphone" if direction == "input" else "loudspeaker"
    if wanted == "default":
        fitting = [device for device in able if device.is_default] or able
        fitting = fitting[:1]
    elif wanted.isdecimal():
        fitting = [device for device in able if device.number == int(wanted)]
    else:
        exact = [device for device in able if device.name == wanted]
        fitting = exact or [device for device in able if wanted.lower() in device.name.lower()]
    if not fitting:
        raise DeviceMissingError(f"there is no {what} {wanted!r}")
    if len(fitting) > 1:
        names = ", ".join(repr(device.name) for device in fitting[:3])
        raise DeviceMissingError(f"the {what} {wanted!r} could be any of {names}")
    return fitting[0]
