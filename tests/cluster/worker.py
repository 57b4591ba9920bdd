"""A worker with a quick predictor and no built-in avatars: ``python -m tests.cluster.worker OPTION...``."""

import os
import sys
from functools import partial

from lipstream.avatar_cache import store as store_module
from lipstream.avatar_cache.store import AvatarStore
from lipstream.avatar_cache.store_root import default_root
from lipstream.realtime import log_format
from lipstream.realtime.api.app import create_app
from lipstream.realtime.api.http_server import server_config
from lipstream.realtime.api.service_manager import ServiceManager
from lipstream.realtime.api.serving import DrainingServer
from lipstream.realtime.server.sessions import Sessions
from lipstream.realtime.settings import read_settings
from tests.realtime.fakes import worker_settings


def main() -> None:
    settings = read_settings(sys.argv[1:], os.environ)
    root = settings.store or default_root()
    store_module.BUILT_IN = root / "none"
    log_format.set_up(settings.log_level, settings.log_format)
    store = AvatarStore(root)
    sessions = Sessions(settings, worker_settings(store, "FakePredictor"))
    app = create_app(sessions)
    manager = ServiceManager.of_this_process({})
    server = DrainingServer(server_config(app, settings), sessions, reload=partial(print, "reload"), manager=manager)
    server.run()


if __name__ == "__main__":
    main()
