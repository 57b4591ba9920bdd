"""Render workers: child processes that own a device each, and their end in the server."""

from realtime.render_worker.client import MouthStream, RenderWorker
from realtime.render_worker.pool import RenderWorkers
from realtime.render_worker.worker import WorkerSettings

__all__ = ["MouthStream", "RenderWorker", "RenderWorkers", "WorkerSettings"]
