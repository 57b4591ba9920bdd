"""The files of deploy/ that no engine runs here: they name what exists, and say the same as each other."""

import re
from pathlib import Path

import pytest

from lipstream.realtime.settings import Settings, read_settings
from tests.images.containerfile import Image, expand, image_of, parse
from tests.server_process import ROOT

FILES = ("deploy/Containerfile", "deploy/Containerfile.cuda")
COMPOSE = (ROOT / "deploy" / "compose.yaml").read_text()
KUBERNETES = (ROOT / "deploy" / "kubernetes.yaml").read_text()


def settings_of(image: Image) -> Settings:
    return read_settings(image.command, {})


@pytest.mark.parametrize("name", FILES)
def test_an_image_has_what_it_copies_and_runs_as_nobody_special(name: str) -> None:
    stages = parse((ROOT / name).read_text())
    let_through = (ROOT / ".containerignore").read_text().split()
    names = {stage.name for stage in stages}
    for stage in stages:
        for copied in stage.all("COPY"):
            *sources, _ = copied.split()
            if sources[0].startswith("--from="):
                assert sources[0].partition("=")[2] in names
                continue
            for source in sources:
                assert (ROOT / source).exists(), source
                assert f"!{source}" in let_through
    image = image_of(stages[-1])
    assert image.user == "10001:10001"
    assert image.health[-3:] == ["-m", "lipstream", "health"]
    assert settings_of(image).udp_ports == (50000, 50199)
    assert settings_of(image).secret_file == Path("/run/secrets/lipstream-keys")
    assert image.environment["LIPSTREAM_STORE"] == image.folder == stages[-1].all("VOLUME")[0]


def test_both_images_are_made_alike() -> None:
    """What differs is what CUDA needs, so that a change of one is not forgotten in the other."""
    cpu, cuda = (image_of(parse((ROOT / name).read_text())[-1]) for name in FILES)
    assert (cpu.user, cpu.folder, cpu.health, cpu.entrypoint) == (cuda.user, cuda.folder, cuda.health, cuda.entrypoint)
    assert settings_of(cpu).device == "auto"
    assert settings_of(cuda).device == "cuda"
    assert cpu.environment.items() <= cuda.environment.items()


def test_compose_starts_the_server_with_options_that_it_knows() -> None:
    options = re.findall(r"^      - (--(?!config|web)\S.*)$", COMPOSE, re.MULTILINE)
    said = [
        expand(re.sub(r":\?[^}]*", "", one), {"FACE_HOST": "face.example.org", "TURN_HOST": "t.example.org"})
        for one in options
    ]
    settings = read_settings(said, {})
    assert settings.allowed_hosts == ("face.example.org",)
    assert settings.turn_urls == ("turn:t.example.org:3478", "turns:t.example.org:5349?transport=tcp")
    assert settings.udp_ports == (50000, 50199)
    secrets = set(re.findall(r"/run/secrets/([\w-]+)", COMPOSE))
    assert secrets <= set(re.findall(r"^  ([\w-]+):$", COMPOSE.partition("\nsecrets:")[2], re.MULTILINE))
    grace = re.findall(r"stop_grace_period: (\d+)s", COMPOSE) + re.findall(r"GracePeriodSeconds: (\d+)", KUBERNETES)
    assert [int(seconds) > Settings().grace_s for seconds in grace] == [True, True]


def test_prometheus_asks_the_server_with_the_key_that_compose_gives_it() -> None:
    prometheus = (ROOT / "deploy" / "prometheus.yaml").read_text()
    (key,) = re.findall(r"credentials_file: /run/secrets/(\S+)", prometheus)
    assert f"secrets: [{key}]" in COMPOSE
    assert f"127.0.0.1:{Settings().port}" in prometheus


def test_kubernetes_starts_the_server_with_options_that_it_knows() -> None:
    (arguments,) = re.findall(r"args: \[(.*)\]", KUBERNETES)
    settings = read_settings([word.strip() for word in arguments.split(",")], {})
    mounts = re.findall(r"mountPath: ([^,}]+)", KUBERNETES)
    assert str(settings.secret_file).startswith(tuple(mounts))
    image = image_of(parse((ROOT / FILES[0]).read_text())[-1])
    assert image.environment["LIPSTREAM_STORE"] in mounts
    assert f"runAsUser: {image.user.partition(':')[0]}" in KUBERNETES
    assert f"containerPort: {settings.port}" in KUBERNETES


def test_a_container_file_is_read_by_stages() -> None:
    stages = parse(
        '# x\nARG B=c\nFROM ${B} AS one\nRUN a \\\n  # said between\n  && b ${P} c\nFROM d\nUSER 7:8\nCMD ["e"]\n'
    )
    assert [(stage.base, stage.name) for stage in stages] == [("${B}", "one"), ("d", "")]
    assert [expand(line, {"P": "x"}) for line in stages[0].all("RUN")] == ["a && b x c"]
    assert (image_of(stages[1]).user, image_of(stages[1]).command) == ("7:8", ["e"])
    with pytest.raises(ValueError, match="RUN"):
        parse("RUN a\n")


def test_the_workflow_uses_commands_that_exist() -> None:
    workflow = (ROOT / ".github" / "workflows" / "release.yaml").read_text()
    targets = set(re.findall(r"\bmake ([\w-]+)", workflow))
    known = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"dist", "sbom", "audit"} <= targets <= known
    assert all((ROOT / name).is_file() for name in re.findall(r"file: (deploy/[\w.]+),", workflow))
    assert (ROOT / ".ci" / "run").is_file()
