"""The render worker: one child process that owns the device, and its end in the server."""

from realtime.render_worker.client import MouthStream, RenderWorker
from realtime.render_worker.worker import WorkerSettings

__all__ = ["MouthStream", "RenderWorker", "WorkerSettings"]
