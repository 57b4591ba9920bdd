"""Another site than the server's, for pages that show its face."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@contextmanager
def site(folder: Path) -> Iterator[str]:
    """Serve a folder as another site and yield its origin."""

    class Quiet(SimpleHTTPRequestHandler):
        timeout = 5.0  # s: browsers open connections that they may never use, and keep them

        def log_message(self, *_arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://localhost:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
