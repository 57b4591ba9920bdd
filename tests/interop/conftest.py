"""Players that were not written here take their time to start."""

from tests.loopback.conftest import patient_sessions

__all__ = ["patient_sessions"]
