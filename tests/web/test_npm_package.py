"""The npm package `lipstream`: packed, installed into an empty folder, and used there."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import lipstream
from tests.server_process import ROOT

WEB = ROOT / "web"
TSC = WEB / "node_modules/.bin/tsc"
IMPORT = re.compile(r"^import .*? from '(\..*?)'", re.MULTILINE)
pytestmark = pytest.mark.needs("npm")

PAGE = """
import { LipstreamAvatar } from 'lipstream';
import { Speaker } from 'lipstream/speaker';

const face = document.createElement('lipstream-avatar');
const same: LipstreamAvatar = face;
document.body.append(same);
face.addEventListener('ended', ({ detail }) => console.log(detail.interrupted.valueOf()));
face.addEventListener('click', () => face.say('Good morning.').then(() => face.interrupt()));
face.track = null;
const spoken: Promise<void> = face.speak(new Float32Array(480), 24_000);
const speaking: Promise<Speaker> = Speaker.connect('https://face.example', 'id', { rate: 24_000 });
console.log(spoken, speaking, face.state === 'live', face.avatar.length);
"""
WRONG = {
    "text is no sound": "face.speak('Good morning.', 24_000);",
    "no such event": "face.addEventListener('ended', ({ detail }) => detail.nothing);",
    "no such state": "face.state === 'asleep';",
    "events of elements keep their types": "face.addEventListener('click', (event) => event.nothing);",
}


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder into which the package was installed; packed of a copy, since packing writes into its folder."""
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("project")
    shutil.copytree(WEB, source / "web", ignore=shutil.ignore_patterns("node_modules"))
    shutil.copy(ROOT / "LICENSE", source)
    (source / "web/node_modules").symlink_to(WEB / "node_modules")
    packed = run(source / "web", "npm", "pack", "--silent", "--pack-destination", str(folder))
    assert not packed.returncode, packed.stdout + packed.stderr
    assert {path.name for path in (source / "web").iterdir()} == {path.name for path in WEB.iterdir()}
    (tarball,) = folder.glob("*.tgz")
    quiet = ("--offline", "--no-audit", "--no-fund", "--silent")
    done = run(folder, "npm", "install", *quiet, f"./{tarball.name}")
    assert not done.returncode, done.stdout + done.stderr
    return folder


def closure(module: Path, folder: Path) -> set[str]:
    """Return the modules that a module imports, itself among them, as paths in the folder."""
    found, waiting = set(), [module]
    while waiting:
        path = waiting.pop().resolve()
        name = path.relative_to(folder.resolve()).as_posix()
        if name not in found:
            found.add(name)
            waiting += [path.parent / one for one in IMPORT.findall(path.read_text())]
    return found


def test_it_holds_what_the_element_needs_and_no_more(installed: Path) -> None:
    package = installed / "node_modules/lipstream"
    files = {path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file()}
    code = closure(WEB / "avatar.js", WEB) | closure(WEB / "speaker.js", WEB)
    types = {name for name in files if name.startswith("types/")}
    assert files - types == code | {"package.json", "README.md", "LICENSE"}
    assert types == {f"types/{name.replace('.js', '.d.ts')}" for name in code} | {"types/types.d.ts"}
    facts = json.loads((package / "package.json").read_text())
    assert facts["version"] == lipstream.__version__
    assert facts["license"] == "Apache-2.0"
    assert not facts.get("dependencies")
    assert [path.name for path in (installed / "node_modules").iterdir() if path.name[0] != "."] == ["lipstream"]


def test_a_server_that_renders_pages_may_import_it(installed: Path) -> None:
    program = (
        "import { LipstreamAvatar } from 'lipstream'; import { pcmOf } from 'lipstream/speaker';"
        "console.log(LipstreamAvatar.name, pcmOf(new Float32Array(2)).length)"
    )
    done = run(installed, "node", "--input-type=module", "-e", program)
    assert done.stdout == "LipstreamAvatar 4\n", done.stderr


def test_its_types_describe_the_element(installed: Path) -> None:
    options = ("--noEmit", "--strict", "--module", "nodenext", "--target", "es2024", "--lib", "es2024,dom,dom.iterable")
    (installed / "page.mts").write_text(PAGE)
    done = run(installed, str(TSC), *options, "page.mts")
    assert not done.returncode, done.stdout
    for number, line in enumerate(WRONG.values()):
        (installed / f"wrong{number}.mts").write_text(PAGE + line)
    done = run(installed, str(TSC), *options, *(f"wrong{number}.mts" for number in range(len(WRONG))))
    complaints = re.findall(r"^wrong(\d)\.mts\((\d+)", done.stdout, re.MULTILINE)
    assert complaints == [(str(number), str(PAGE.count("\n") + 1)) for number in range(len(WRONG))], done.stdout
