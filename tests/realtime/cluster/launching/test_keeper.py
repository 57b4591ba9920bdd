"""Keepers and what they keep, without Ray."""

import json
import os
import signal
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lipstream.realtime.cluster.launching.keeper import Job, Keeper
from lipstream.realtime.settings import read_settings
from tests.server_process import ROOT, free_port

MODULE = "tests.realtime.cluster.launching.kept_server"
WAIT_S = 120


def until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + WAIT_S
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


class Place:
    """A machine: its store, and what the server there tells."""

    def __init__(self, folder: Path) -> None:
        self.store, self.told, self.port = folder / "store", folder / "told", free_port()
        self.keepers: list[Keeper] = []

    def keeper(self, name: str = "worker-0", **options: Any) -> Keeper:
        self.keepers.append(Keeper(Job(name, "127.0.0.1", self.port, options, MODULE)))
        return self.keepers[-1]

    def server(self, former: int = 0) -> dict[str, Any]:
        """Return what the server tells, once it is another process than a former one."""

        def found() -> dict[str, Any] | None:
            told: dict[str, Any] = json.loads(self.told.read_text()) if self.told.exists() else {"process": former}
            return None if told["process"] == former else told

        told: dict[str, Any] = until(found)
        return told


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    place = Place(tmp_path)
    monkeypatch.setenv("LIPSTREAM_STORE", str(place.store))
    monkeypatch.setenv("TOLD", str(place.told))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    yield place
    for keeper in place.keepers:
        keeper.drain()
    until(lambda: all(keeper.report().has_ended for keeper in place.keepers))


def test_a_worker_is_a_server_with_the_options_of_the_command_and_an_address_of_its_machine(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIPSTREAM_MAX_SESSIONS", "3")
    monkeypatch.setenv("LIPSTREAM_TLS_CERT", "/of/ingress.pem")
    ice_servers = [{"urls": ["stun:a", "stun:b"], "credential": 'of "stun" ü'}]
    options: dict[str, Any] = {
        "cluster": "auto",
        "workers": "x",
        "port": 1,
        "chat_prompt": "two\nlines",
        "no_mark": True,
    }
    keeper = place.keeper(
        **options, ice_servers=ice_servers, max_sessions="9", turn_urls="turn:t", turn_secret_file="s"
    )
    told = place.server()
    assert keeper.report().url == f"http://127.0.0.1:{place.port}"
    settings = read_settings(told["flags"], told["environment"])
    assert (settings.host, settings.port, settings.store) == ("127.0.0.1", place.port, place.store)
    assert (settings.cluster, settings.workers, settings.chat_prompt) == ("", "", "two\nlines")
    assert (settings.no_mark, settings.max_sessions, settings.tls_cert) == (True, 3, None)
    assert settings.ice_servers == tuple(ice_servers)
    file = Path(told["flags"][1])
    assert tomllib.loads(file.read_text())["max_sessions"] == "9"
    assert file.stat().st_mode & 0o077 == 0, "it may hold keys"


def test_further_workers_of_a_machine_have_stores_of_their_own(place: Place) -> None:
    place.keeper("worker-2")
    settings = read_settings(place.server()["flags"], {})
    assert settings.store == place.store.with_name("store-2")


def test_an_ingress_reads_the_workers_from_a_file(place: Place, tmp_path: Path) -> None:
    keeper = place.keeper("ingress", cluster_secret_file=str(tmp_path / "secret"), host="127.0.0.2", port="81")
    told = place.server()
    settings = read_settings(told["flags"], told["environment"])
    assert (settings.host, settings.port, keeper.report().url) == ("127.0.0.2", 81, "")
    keeper.tell(("http://a:1", "http://b:2"))
    assert Path(settings.workers).read_text() == "http://a:1\nhttp://b:2\n"
    assert keeper.report().workers == ("http://a:1", "http://b:2")


def test_a_server_that_fails_is_started_again_at_its_address(place: Place) -> None:
    keeper = place.keeper()
    first = place.server()
    os.kill(first["process"], signal.SIGKILL)
    second = place.server(first["process"])
    assert second["flags"] == first["flags"]
    assert not keeper.report().has_ended


def test_a_server_that_ends_in_order_is_left(place: Place) -> None:
    keeper = place.keeper()
    first = place.server()
    os.kill(first["process"], signal.SIGTERM)
    until(lambda: keeper.report().has_ended)
    assert place.server() == first


def test_the_next_keeper_finds_the_server_of_the_former_one_and_drains_it(place: Place) -> None:
    place.keeper()
    first = place.server()
    keeper = place.keeper()
    until(lambda: keeper.report().url == f"http://127.0.0.1:{place.port}")
    keeper.drain()
    until(lambda: keeper.report().has_ended)
    assert place.server() == first, "there was one server"
