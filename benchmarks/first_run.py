"""What does a stranger wait for, and what does it take of the disk?

The wheel is built and installed into an empty environment, and started twice there by a user with an empty home. A
face is there when its first picture has arrived at a client in this process; the sample is spoken when the server has
drawn mouths for the sentence of the page. The first start prepares one avatar.
"""

import asyncio
import json
import signal
import subprocess
import time
from typing import Any

import httpx

from benchmarks.empty_environment import EmptyEnvironment, empty_environment, size_mb
from benchmarks.installed_packages import PackageSize, package_sizes
from benchmarks.report import Report, at_most
from benchmarks.served import fetch
from benchmarks.start import first_picture
from tests.server_process import free_port

QUESTION = "What does a stranger wait for, and what does it take of the disk?"
_PATIENCE_S = 300.0
_LARGE_MB = 4.0
"""Packages from this size on have a row of their own."""
_IMPORTS = """
import json, sys
import lipstream.realtime.api.serving
print(json.dumps([len(sys.modules), "torch" in sys.modules]))
"""


def run() -> Report:
    """Measure."""
    with empty_environment() as environment:
        return _measure(environment)


def _measure(environment: EmptyEnvironment) -> Report:
    packages = package_sizes(environment.folder)  # before a start compiles modules
    starts = [_start(environment) for _ in range(2)]
    modules, has_torch = json.loads(environment.run("python", "-c", _IMPORTS).stdout)
    store_mb = size_mb(environment.home / ".local" / "share" / "lipstream")
    conditions = {
        "installer": environment.installer,
        "user": environment.prefix[0],
        "wheel, MB": round(environment.wheel_mb, 1),
    }
    report = Report(QUESTION, conditions)
    figures = {
        "installation, s": environment.install_s,
        "installation, MB": sum(package.mb for package in packages),
        "first start to the page, s": starts[0]["page"],
        "first start to a face, s": starts[0]["face"],
        "second start to a face, s": starts[1]["face"],
        "store, MB": store_mb,
        "imports of the server, s": _import_s(environment),
        "modules of the server": modules,
    }
    report.rows = [{"figure": name, "value": round(value, 2)} for name, value in (figures | _parts(packages)).items()]
    report.goals = [
        at_most("installation", figures["installation, MB"], 600, "MB"),
        at_most("first start to a face", figures["first start to a face, s"], 10, "s"),
        at_most("store after the first start", store_mb, 200, "MB"),
        at_most("processes with torch", float(has_torch), 0, ""),
    ]
    return report


def _parts(packages: list[PackageSize]) -> dict[str, float]:
    """Return what the installation consists of, MB: the large packages, the others, and bytecode of all of them."""
    large = [package for package in packages if package.files_mb >= _LARGE_MB]
    parts = {f"of it {package.name} {package.version}".rstrip() + ", MB": package.files_mb for package in large}
    parts["of it others, MB"] = sum(package.files_mb for package in packages if package not in large)
    parts["of it bytecode, MB"] = sum(package.compiled_mb for package in packages)
    return parts


def _start(environment: EmptyEnvironment) -> dict[str, float]:
    """Start the server, call it, and end it; return seconds from the start to the page and to a face."""
    port, begun_s = free_port(), time.monotonic()
    url = f"http://127.0.0.1:{port}"
    command = environment.command("lipstream", "--port", str(port), "--log-level", "error", "--no-browser")
    with subprocess.Popen(command, cwd=environment.home) as server:
        try:
            page_s = _until(server, url, begun_s)
            _until(server, f"{url}/readyz", begun_s)
            ready_s = time.monotonic() - begun_s
            return {"page": page_s, "face": ready_s + asyncio.run(first_picture(url)) / 1000}
        finally:
            server.send_signal(signal.SIGTERM)


def _until(server: "subprocess.Popen[bytes]", url: str, begun_s: float) -> float:
    """Return the seconds until an address answers with 200."""
    while not _answers(url):
        if server.poll() is not None or time.monotonic() - begun_s > _PATIENCE_S:
            raise RuntimeError("the server does not start")
        time.sleep(0.02)
    return time.monotonic() - begun_s


def _answers(url: str) -> bool:
    try:
        status: int = fetch(url)[0]
    except httpx.TransportError:
        return False
    return status == 200


def _import_s(environment: EmptyEnvironment) -> float:
    """Return what ``-X importtime`` says of the server's imports, s."""
    done: Any = environment.run("python", "-X", "importtime", "-c", "import lipstream.realtime.api.serving")
    lines = [line.split("|") for line in done.stderr.splitlines() if line.startswith("import time:")]
    own = [parts[0].partition(":")[2].strip() for parts in lines]
    return sum(int(us) for us in own if us.isdigit()) / 1e6
