"""The picture workers: child processes that paint and encode, and their end in the server."""

from realtime.picture_worker.client import PictureWorkers

__all__ = ["PictureWorkers"]
