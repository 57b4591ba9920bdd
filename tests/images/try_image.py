"""Builds deploy/Containerfile without a container engine and asks the server in it for its health.

    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm /tmp/base
    python -m tests.images.try_image --base /tmp/base --work /tmp/image

Each stage is a copy of ``--base``, an unpacked root that stands for the base image. RUN lines run in it by ``chroot``,
in a mount namespace of their own. COPY copies from the checkout, without tests and packages of tools. The server starts
as the image's user on a port of its own, and is asked by the image's own health check. All this needs root, and
``--bind`` for folders of this machine that pip is told to look into. Variables ``PIP_*`` are passed to RUN lines.
"""

import argparse
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.images.containerfile import Image, Stage, expand, image_of, parse
from tests.server_process import ROOT, free_port

_PATIENCE_S = 300
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def in_root(
    root: Path, command: Sequence[str], *, user: str = "0:0", folder: str = "/", binds: Sequence[str] = ()
) -> list[str]:
    """Return the command that runs another in a root of its own, whose mounts vanish with it."""
    mounts = [f"mount --rbind /dev {root}/dev", f"mount -t proc proc {root}/proc", f"mount -t tmpfs tmpfs {root}/tmp"]
    for bind in binds:
        (root / bind.lstrip("/")).mkdir(parents=True, exist_ok=True)
        target = shlex.quote(f"{root}{bind}")
        mounts.append(f"mount --bind {shlex.quote(bind)} {target} && mount -o remount,bind,ro {target}")
    inside = f"cd {shlex.quote(folder)} && exec {shlex.join(command)}"
    enter = f"exec chroot --userspec={user} {root} /bin/sh -c {shlex.quote(inside)}"
    return ["unshare", "--mount", "--propagation", "private", "sh", "-ec", " && ".join([*mounts, enter])]


def copy(rest: str, context: Path, root: Path, folder: str, stages: Mapping[str, Path]) -> None:
    """Do what a COPY instruction says."""
    *sources, target = rest.split()
    base = context
    if sources[0].startswith("--from="):
        base = stages[sources.pop(0).partition("=")[2]]
    place = root / target.lstrip("/") if target.startswith("/") else root / folder.lstrip("/") / target
    for source in sources:
        path = base / source.lstrip("/")
        skip = shutil.ignore_patterns("__pycache__", "node_modules", "tests") if base == context else None
        if path.is_dir():
            shutil.copytree(path, place, symlinks=True, dirs_exist_ok=True, ignore=skip)
        else:
            to = place / path.name if target.endswith("/") else place
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, to)


def build(
    stage: Stage, context: Path, root: Path, stages: Mapping[str, Path], binds: Sequence[str], base: Path
) -> None:
    """Make the root of a stage."""
    shutil.rmtree(root, ignore_errors=True)
    subprocess.run(["cp", "-a", "--reflink=auto", str(base), str(root)], check=True)
    shutil.copy2("/etc/resolv.conf", root / "etc" / "resolv.conf")
    passed = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    folder, values, user = "/", {}, "0:0"
    for one in stage.instructions:
        if one.word == "ARG":
            name, _, value = one.rest.partition("=")
            values[name] = value.strip('"')
        elif one.word == "WORKDIR":
            folder = one.rest
            (root / folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif one.word == "USER":
            user = one.rest
        elif one.word == "COPY":
            copy(one.rest, context, root, folder, stages)
        elif one.word == "RUN":
            print(f"RUN {one.rest}", flush=True)
            line = ["/bin/sh", "-ec", expand(one.rest, values)]
            subprocess.run(
                in_root(root, line, user=user, folder=folder, binds=binds), env={**passed, "PATH": _PATH}, check=True
            )


def try_server(image: Image, root: Path) -> None:
    """Start the server of an image, wait until its health check says 0, and end it.

    Raises:
        SystemExit: If it ends, is not healthy in time, or ends with another status than 0.
    """
    keys = root / "run" / "secrets" / "lipstream-keys"
    keys.parent.mkdir(parents=True, exist_ok=True)
    keys.write_text(f"{secrets.token_urlsafe(32)}\n")
    keys.chmod(0o400)
    os.chown(keys, *map(int, image.user.split(":")))
    environment = {"PATH": _PATH, "HOME": image.folder, **image.environment}
    command = [*image.entrypoint, *image.command, "--port", str(free_port())]
    server = subprocess.Popen(in_root(root, command, user=image.user, folder=image.folder), env=environment)
    try:
        began_s = time.monotonic()
        while True:
            health = subprocess.run(
                in_root(root, image.health, user=image.user, folder=image.folder),
                env=environment, capture_output=True, text=True, check=False,
            )  # fmt: skip
            if server.poll() is not None:
                raise SystemExit(f"the server ended with status {server.returncode}")
            if health.returncode == 0:
                break
            if time.monotonic() - began_s > _PATIENCE_S:
                raise SystemExit(f"not healthy after {_PATIENCE_S} s: {health.stdout}{health.stderr}")
            time.sleep(2)
        print(f"healthy after {time.monotonic() - began_s:.0f} s, as user {image.user}", flush=True)
    finally:
        server.send_signal(signal.SIGTERM)
        status = server.wait(60)
    if status:
        raise SystemExit(f"the server ended with status {status}")


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.images.try_image", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--file", type=Path, default=ROOT / "deploy" / "Containerfile")
    parser.add_argument("--base", type=Path, required=True, help="unpacked root in place of the base image")
    parser.add_argument("--work", type=Path, required=True, help="folder for the roots of the stages")
    parser.add_argument("--bind", action="append", default=[], help="folder of this machine that RUN lines see")
    chosen = parser.parse_args()
    chosen.work.mkdir(parents=True, exist_ok=True)
    stages = parse(chosen.file.read_text())
    roots: dict[str, Path] = {}
    for number, stage in enumerate(stages):
        root = chosen.work / (stage.name or f"stage-{number}")
        build(stage, ROOT, root, roots, chosen.bind, chosen.base)
        roots[stage.name] = root
    last = roots[stages[-1].name]
    size = subprocess.run(["du", "-sm", str(last)], capture_output=True, text=True, check=True).stdout.split()[0]
    base = subprocess.run(["du", "-sm", str(chosen.base)], capture_output=True, text=True, check=True).stdout.split()[0]
    print(f"{chosen.file.name}: {int(size) - int(base)} MB on a base of {base} MB", flush=True)
    try_server(image_of(stages[-1]), last)


if __name__ == "__main__":
    main()
