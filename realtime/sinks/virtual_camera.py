"""A virtual camera for video call programs, by pyvirtualcam: v4l2loopback on Linux, OBS elsewhere."""

import importlib
from typing import Any

import numpy as np

from lipstream.extras import missing
from lipstream.realtime.encoding.broadcast import Broadcast
from lipstream.realtime.encoding.encoded_unit import RAW_PICTURES, EncodedUnit
from lipstream.realtime.sinks.letterbox import fit_picture
from lipstream.realtime.sinks.virtual_device import DeviceError, DeviceSink
from lipstream.realtime.timeline import FRAME_RATE_HZ

_NO_DEVICE = (
    "this machine has no virtual camera that is free: "
    "sudo modprobe v4l2loopback exclusive_caps=1 card_label=Lipstream (Debian: v4l2loopback-dkms)"
)


def pyvirtualcam() -> Any:
    """Return the module, an optional dependency.

    Raises:
        SettingsError: If it is not installed.
    """
    try:
        return importlib.import_module("pyvirtualcam")
    except ImportError as error:
        raise missing("pyvirtualcam", "virtual_camera") from error


class VirtualCamera(DeviceSink):
    """Shows a session's pictures on a virtual camera, in the size of the first picture.

    Args:
        device: Device path such as ``/dev/video10``; ``default`` for the first free one.
    """

    kinds = (RAW_PICTURES,)
    name = "virtual camera"

    def __init__(self, broadcast: Broadcast, session_id: str, device: str) -> None:
        super().__init__(broadcast, session_id)
        self._device = device

    def _open(self, unit: EncodedUnit) -> "_CameraWriter":
        assert unit.raw is not None
        rows, width = unit.raw.shape
        return _CameraWriter(None if self._device == "default" else self._device, (width, rows * 2 // 3))


class _CameraWriter:
    def __init__(self, device: str | None, size: tuple[int, int]) -> None:
        self._size, library = size, pyvirtualcam()
        form = library.PixelFormat.I420
        try:
            self._camera = library.Camera(*size, FRAME_RATE_HZ, fmt=form, device=device)
        except RuntimeError as error:  # its text has a line for each kind of camera that the library tried
            why = "; ".join(str(error).splitlines())
            raise DeviceError(_NO_DEVICE if "No v4l2 loopback device" in why else why) from error

    def write(self, unit: EncodedUnit) -> None:
        assert unit.raw is not None
        try:
            self._camera.send(np.ascontiguousarray(fit_picture(unit.raw, self._size)))
        except RuntimeError as error:
            raise DeviceError(f"the camera accepts no more pictures: {error}") from error

    def close(self) -> None:
        self._camera.close()
