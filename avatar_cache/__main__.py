"""``python -m avatar_cache``: the shelf of avatars from the command line."""

import argparse
import json
import sys
from pathlib import Path

from avatar_cache.builder import prepare
from avatar_cache.store import AvatarStore, default_root
from realtime.errors import LipstreamError
from realtime.lipsync.backends import DEVICES, create_predictor
from realtime.lipsync.metadata import BUILT_IN_WEIGHTS


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m avatar_cache", description="The shelf of avatars.")
    parser.add_argument("--store", type=Path, default=default_root(), help="its folder (default: %(default)s)")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="every avatar, a line each")
    build = commands.add_parser("build", help="store an avatar from a folder with clip.mp4 and avatar.json")
    build.add_argument("input", type=Path)
    build.add_argument("--id", required=True)
    for name, meaning in (("show", "an avatar's facts"), ("verify", "check its clip"), ("remove", "remove it")):
        commands.add_parser(name, help=meaning).add_argument("id")
    ready = commands.add_parser("prepare", help="compute what the server needs of it, once for each weights file")
    ready.add_argument("id")
    ready.add_argument("--weights", type=Path, default=BUILT_IN_WEIGHTS)
    ready.add_argument("--device", choices=DEVICES, default="auto")
    return parser


def _show_progress(share: float) -> None:
    print(f"\r{share:4.0%}", end="" if share < 1 else "\n", file=sys.stderr, flush=True)


def _run(chosen: argparse.Namespace) -> None:
    store = AvatarStore(chosen.store)
    if chosen.command == "list":
        for manifest in store.list():
            width, height = manifest.size
            print(f"{manifest.id}\t{manifest.name}\t{width}x{height}\t{manifest.frames} frames, {manifest.loop}")
    elif chosen.command == "show":
        print(json.dumps({**json.loads(store.load(chosen.id).manifest.to_json()), "boxes": "..."}, indent=1))
    elif chosen.command == "build":
        store.build(chosen.input, chosen.id, progress=_show_progress)
    elif chosen.command == "verify":
        store.verify(chosen.id)
        print(f"{chosen.id}: whole")
    elif chosen.command == "remove":
        store.remove(chosen.id)
    else:
        predictor = create_predictor(chosen.weights, device=chosen.device, cache=store.graphs)
        prepare(store.load(chosen.id), predictor, progress=_show_progress)


def main() -> int:
    """Return the process's exit status."""
    try:
        _run(_parser().parse_args())
    except LipstreamError as error:
        print(f"avatar_cache: {error.message}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
