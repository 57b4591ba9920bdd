"""The server begins with its workers, and imports the API beside them."""

import gc
import json
import subprocess
import sys

from lipstream.realtime.api import launch

_IMPORTED = "import json, sys, lipstream.realtime.api.launch; print(json.dumps(sorted(sys.modules)))"


def test_the_workers_are_asked_for_before_the_api_and_webrtc_are_imported() -> None:
    run = subprocess.run([sys.executable, "-c", _IMPORTED], capture_output=True, text=True, check=True, timeout=60)
    modules = set(json.loads(run.stdout))
    assert "lipstream.realtime.workers.render_client" in modules
    assert not modules & {"fastapi", "pydantic", "uvicorn", "aiortc", "httpx", "openvino", "torch"}


def test_the_collector_of_cycles_is_at_work_when_the_server_is_imported() -> None:
    serving = launch._import_serving()
    assert serving.__name__ == "lipstream.realtime.api.serving"
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0
    gc.unfreeze()
