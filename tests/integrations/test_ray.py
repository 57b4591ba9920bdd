"""``lipstream --cluster`` on three machines of a real Ray, installed into an environment of its own."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.integrations.environments import Environment
from tests.server_process import ROOT

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    (ray,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["cluster"]
    return Environment(wheel, ray, None, tmp_path_factory.mktemp("ray"))


@pytest.fixture(scope="module")
def facts(environment: Environment) -> dict[str, Any]:
    return environment.run("tests.integrations.ray_in_cluster", timeout_s=900)


def test_each_machine_gets_a_worker_and_an_ingress_and_sessions_spread(facts: dict[str, Any]) -> None:
    assert facts["workers of three calls"] == 3


def test_a_browser_and_other_clients_have_a_worker_each(facts: dict[str, Any]) -> None:
    assert facts["workers of a page and two calls"] == 3


def test_a_full_cluster_says_so_and_its_ingresses_agree(facts: dict[str, Any]) -> None:
    assert facts["refused"] == [[503, "full"]] * 3
    assert all(seconds > 0 for seconds in facts["retry after"])
    assert facts["ingresses agree"] == [facts["sessions"]] * 3


def test_calls_of_a_killed_worker_and_of_a_lost_machine_speak_again_elsewhere(facts: dict[str, Any]) -> None:
    assert facts["speaks again after a kill, s"] > 0  # that it does is awaited there; for how long is measured
    assert facts["speaks again after a lost machine, s"] > 0


def test_a_drained_worker_ends_with_its_last_call(facts: dict[str, Any]) -> None:
    assert facts["alive while it drains"]


def test_without_rays_head_calls_go_on_and_begin(facts: dict[str, Any]) -> None:
    assert facts["begun without the head"]


def test_servers_outlive_the_launcher_and_the_next_one_drains_them(facts: dict[str, Any]) -> None:
    assert facts["servers without a launcher"] == 2
    assert facts["status at the end"] == 0
    assert facts["servers at the end"] == 0


def test_a_server_and_an_ingress_import_nothing_of_ray(environment: Environment) -> None:
    modules = "lipstream.cli, lipstream.realtime.api.launch, lipstream.realtime.api.serving"
    told = environment.call(
        "-c", f"import sys, {modules}, lipstream.realtime.cluster.serving; print('ray' in sys.modules)"
    )
    assert told == "False\n"
    assert environment.call("-c", "import ray") == "", "it is there to be imported"


def test_the_manifest_for_kuberay_has_documented_fields_alone(environment: Environment) -> None:
    told = environment.call("-m", "tests.integrations.kuberay_fields", str(ROOT / "deploy" / "kuberay-cluster.yaml"))
    assert told == "2 documents, the launcher's options are read\n"
