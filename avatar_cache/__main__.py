"""``lipstream avatar`` and ``python -m avatar_cache``: builds, lists, checks and removes avatars."""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from lipstream.avatar_cache.avatar import Avatar, PreparedAvatar
from lipstream.avatar_cache.blend_quality import measure_blend
from lipstream.avatar_cache.clip_builder import BuildOptions
from lipstream.avatar_cache.crop_change import CropChange
from lipstream.avatar_cache.detector_box import Rectangle
from lipstream.avatar_cache.detectors import DETECTORS
from lipstream.avatar_cache.gestures import GESTURES
from lipstream.avatar_cache.manifest import BOX_SMOOTHINGS, RESTS
from lipstream.avatar_cache.media_reader import Limits
from lipstream.avatar_cache.motion_graph import USUAL_LIVELINESS
from lipstream.avatar_cache.motion_names import check_motion_names
from lipstream.avatar_cache.preflight import PreflightReport
from lipstream.avatar_cache.prepare import decode_clip, prepare
from lipstream.avatar_cache.store import AvatarStore, default_root
from lipstream.realtime.errors import LipstreamError, SettingsError, is_no_room
from lipstream.realtime.lipsync.backends import create_predictor
from lipstream.realtime.lipsync.devices import resolve_device
from lipstream.realtime.lipsync.metadata import (
    BUILT_IN_WEIGHTS,
    MODEL_FORM,
    MODEL_HELP,
    PADS_FORM,
    PADS_HELP,
    pads_argument,
)
from lipstream.realtime.lipsync.own_model import model_argument
from lipstream.realtime.picture.i420 import planes
from lipstream.realtime.picture.mouth_painter import Box
from lipstream.realtime.timeline import FRAME_RATE_HZ

_MOTION_NAME = "its name is listening, speaking, or a motion's, such as greet"
_LONG_LISTS = {"boxes", "detector_boxes", "steps"}
_SQUARE_FORM, _RECTANGLE_FORM = "X,Y,SIDE", "TOP,BOTTOM,LEFT,RIGHT"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lipstream avatar", description="Build, prepare, show and remove avatars.")
    parser.add_argument("--store", type=Path, default=default_root(), help="folder of the store (default: %(default)s)")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="every avatar, a line each")
    _add_build(commands.add_parser("build", help="make an avatar of a video, a photograph, or an avatar's folder"))
    for name, meaning in (("show", "an avatar's facts"), ("verify", "check every byte"), ("remove", "remove it")):
        commands.add_parser(name, help=meaning).add_argument("id")
    crop = commands.add_parser("crop", help="find or set the face detector's box, for weights with a detector's crop")
    crop.add_argument("id")
    crop.add_argument("--box", metavar=_RECTANGLE_FORM, help="the box by hand, as with `build`")
    crop.add_argument("--detector", choices=DETECTORS, help="find the boxes again (default: only if there are none)")
    crop.add_argument("--box-smoothing", choices=BOX_SMOOTHINGS, help="as with `build` (default: as it is)")
    _add_motion(commands.add_parser("motion", help="add a clip to an avatar, or remove one"))
    ready = commands.add_parser("prepare", help="compute what the server needs of it, once for each weights file")
    ready.add_argument("id")
    for parser_with_weights in (ready, commands.choices["build"], commands.choices["motion"]):
        parser_with_weights.add_argument("--weights", type=Path, default=BUILT_IN_WEIGHTS)
        parser_with_weights.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
        parser_with_weights.add_argument("--pads", type=pads_argument, metavar=PADS_FORM, help=PADS_HELP)
        parser_with_weights.add_argument(
            "--model", type=model_argument, default="", metavar=MODEL_FORM, help=MODEL_HELP
        )
    for command in commands.choices.values():  # also behind the command, as `render` and `serve` take it
        command.add_argument("--store", type=Path, default=argparse.SUPPRESS, help="as before the command")
    return parser


def _add_build(build: argparse.ArgumentParser) -> None:
    build.add_argument("input", type=Path)
    build.add_argument("--id", required=True, help="small letters, digits and dashes")
    build.add_argument("--name", default="", help="name shown to users")
    build.add_argument("--licence", default="unknown", help="licence of the source")
    build.add_argument(
        "--consent", default="", help="whose face it is and how they agreed, for the record: 'mine', 'Ada, by letter'"
    )
    build.add_argument("--face", type=int, default=1, metavar="N", help="which face, the largest is 1")
    build.add_argument(
        "--box",
        metavar=f"{_SQUARE_FORM}|{_RECTANGLE_FORM}",
        help="the face by hand, px of the stored picture: a square from the brows to under the chin, or the box of a "
        "face detector, as of the Wav2Lip script: the same in every frame, without pads",
    )
    build.add_argument(
        "--box-smoothing",
        choices=BOX_SMOOTHINGS,
        default=BOX_SMOOTHINGS[0],
        help="how the boxes for weights with a detector's crop are smoothed over time: the mean of five frames as "
        "published, a steadier filter, or not at all (default: %(default)s)",
    )
    build.add_argument("--still", action="store_true", help="leave a photograph as it is")
    build.add_argument("--loop", choices=("seamless", "pingpong"), help="how the clip repeats (default: what suits it)")
    build.add_argument(
        "--rest",
        choices=RESTS,
        help="mouth at rest: the source's own, or drawn closed (default: closed, but a photograph keeps its smile)",
    )
    build.add_argument(
        "--eyes-shut",
        type=Path,
        metavar="FILE",
        help="a photograph of the same face with its eyes shut, for the blinks",
    )
    build.add_argument("--side", type=int, default=1280, help="longer side of the stored picture, px")
    build.add_argument(
        "--max-seconds", type=float, default=Limits().seconds, help="longest clip (default: %(default)g)"
    )
    build.add_argument("--detector", choices=DETECTORS, default=DETECTORS[0])
    build.add_argument("--report", choices=("text", "json"), default="text", help="form of the preflight report")
    build.add_argument(
        "--motion",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help=f"a further clip of the same person (docs/MOTIONS.md), any number of times; {_MOTION_NAME}",
    )
    build.add_argument(
        "--lively",
        type=float,
        metavar="SHARE",
        help="let a photograph listen, speak, nod and think, from 0 (hardly) to 1 (much); docs/MOTIONS.md",
    )
    build.add_argument("--no-prepare", action="store_true", help="leave the preparation to the server's first use")


def _add_motion(motion: argparse.ArgumentParser) -> None:
    motion.add_argument("change", choices=("add", "remove"))
    motion.add_argument("id")
    motion.add_argument("motion", help=_MOTION_NAME)
    motion.add_argument(
        "input", type=Path, nargs="?", help="the film to add, or the photograph that the avatar was built from"
    )
    motion.add_argument("--face", type=int, default=1, metavar="N", help="which face, the largest is 1")
    motion.add_argument("--box", metavar=f"{_SQUARE_FORM}|{_RECTANGLE_FORM}", help="the face by hand, as with `build`")
    motion.add_argument("--detector", choices=DETECTORS, default=DETECTORS[0])
    motion.add_argument(
        "--max-seconds", type=float, default=Limits().seconds, help="longest clip (default: %(default)g)"
    )
    motion.add_argument(
        "--lively", type=float, metavar="SHARE", help="how far the head goes where a photograph is given, 0 to 1"
    )
    motion.add_argument("--report", choices=("text", "json"), default="text", help="form of the report")
    motion.add_argument("--no-prepare", action="store_true", help="leave the preparation to the server's first use")


def _options(chosen: argparse.Namespace) -> BuildOptions:
    rectangle = _rectangle(chosen.box) if chosen.box and chosen.box.count(",") == 3 else None
    return BuildOptions(
        name=chosen.name,
        licence=chosen.licence,
        consent=chosen.consent,
        face=chosen.face,
        box=None if rectangle or not chosen.box else _box(chosen.box),
        rectangle=rectangle,
        box_smoothing=chosen.box_smoothing,
        still=chosen.still,
        loop=chosen.loop,
        side=chosen.side,
        rest=chosen.rest,
        eyes_shut=chosen.eyes_shut,
        detector=chosen.detector,
        limits=Limits(seconds=chosen.max_seconds),
        liveliness=_liveliness(chosen.lively),
    )


def _liveliness(chosen: float | None) -> float:
    """Return how far the head of a photograph goes, 0..1."""
    share = USUAL_LIVELINESS if chosen is None else chosen
    if not 0 <= share <= 1:
        raise SettingsError(f"--lively {share:g} is not between 0 and 1")
    return share


def _box(text: str) -> Box:
    try:
        x, y, side = (2 * round(float(part) / 2) for part in text.split(","))
    except (OverflowError, ValueError) as error:
        raise SettingsError(
            f"--box {text!r} must be three numbers, {_SQUARE_FORM}, or four, {_RECTANGLE_FORM}"
        ) from error
    if side <= 0:
        raise SettingsError(f"--box {text!r} has no side: {_SQUARE_FORM}, in px of the stored picture")
    return Box(x, y, side, side)


def _rectangle(text: str) -> Rectangle:
    try:
        top, bottom, left, right = (int(part) for part in text.split(","))
    except ValueError as error:
        raise SettingsError(f"--box {text!r} must be four whole numbers: {_RECTANGLE_FORM}") from error
    return left, top, right, bottom


def _show_progress(share: float) -> None:
    if sys.stderr.isatty() or share == 1:
        filled = round(40 * share)
        bar = f"\r[{'#' * filled}{'.' * (40 - filled)}] {share:4.0%}"
        print(bar, end="" if share < 1 else "\n", file=sys.stderr, flush=True)


def _build(store: AvatarStore, chosen: argparse.Namespace) -> None:
    resolve_device(chosen.device)  # raises for an invalid device, before the avatar is built
    motions = _motions(chosen.motion)
    if chosen.lively is not None:
        motions = dict.fromkeys(GESTURES, chosen.input) | motions
    started = time.monotonic()
    store.build(chosen.input, chosen.id, options=_options(chosen), progress=_show_progress)
    if motions:
        store.add_motions(chosen.id, motions, options=_options(chosen), progress=_show_progress)
    _show_report(store, chosen)
    if not store.load(chosen.id).manifest.consent:
        print(f"{chosen.id}: no consent is on record: --consent says whose face it is", file=sys.stderr)
    if not chosen.no_prepare:
        _prepare(store, chosen)
    print(f"{chosen.id}: built in {time.monotonic() - started:.1f} s", file=sys.stderr)


def _motions(texts: Sequence[str]) -> dict[str, Path]:
    """Return the files of further clips by name."""
    named = [text.partition("=") for text in texts]
    if wrong := next((name for name, _, file in named if not file), None):
        raise SettingsError(f"--motion {wrong!r} must be NAME=FILE, such as greet=wave.mp4")
    motions = {name: Path(file) for name, _, file in named}
    check_motion_names(motions)
    if len(motions) < len(named):
        raise SettingsError("each --motion needs a name of its own")
    return motions


def _show_report(store: AvatarStore, chosen: argparse.Namespace) -> None:
    if report := store.report(chosen.id):
        print(report if chosen.report == "json" else PreflightReport.from_json(report).to_text())


def _change_motion(store: AvatarStore, chosen: argparse.Namespace) -> None:
    rectangle = _rectangle(chosen.box) if chosen.box and chosen.box.count(",") == 3 else None
    options = BuildOptions(
        face=chosen.face,
        box=None if rectangle or not chosen.box else _box(chosen.box),
        rectangle=rectangle,
        detector=chosen.detector,
        limits=Limits(seconds=chosen.max_seconds),
        liveliness=_liveliness(chosen.lively),
    )
    if (chosen.change == "add") != (chosen.input is not None):
        raise SettingsError("`motion add ID NAME FILE` takes a film, `motion remove ID NAME` takes none")
    added = {chosen.motion: chosen.input} if chosen.input else {}
    left_out = () if chosen.input else (chosen.motion,)
    store.add_motions(chosen.id, added, options=options, without=left_out, progress=_show_progress)
    _show_report(store, chosen)
    if not chosen.no_prepare:
        _prepare(store, chosen)


def _prepare(store: AvatarStore, chosen: argparse.Namespace) -> None:
    predictor = create_predictor(
        chosen.weights, device=chosen.device, cache=store.graphs, pads=chosen.pads, model=chosen.model
    )
    avatar = store.load(chosen.id)
    prepared = prepare(avatar, predictor, progress=_show_progress)
    for level, size in prepared.bytes().items():
        print(f"{chosen.id}: {level} {size / 2**20:.1f} MiB", file=sys.stderr)
    seam, sharpness, before = _blend(avatar, prepared)
    print(
        f"{chosen.id}: mouth at rest: step at its edge {seam:.2f} of the natural one; "
        f"sharpness {sharpness:.2f} of its surroundings' ({before:.2f} in the source)",
        file=sys.stderr,
    )


def _blend(avatar: Avatar, prepared: PreparedAvatar) -> tuple[float, float, float]:
    """Return the quality of the mouths at rest: the worst seam, the mean sharpness, and that of the source."""
    compositor = prepared.compositor()
    found = [
        measure_blend(planes(source)[0], planes(prepared.frames[index])[0], compositor.mask(index))
        for index, source in enumerate(decode_clip(avatar.clip, avatar.manifest))
        if index % FRAME_RATE_HZ == 0
    ]
    count = len(found)
    sharpness, before = sum(b.sharpness for b in found) / count, sum(b.sharpness_before for b in found) / count
    return max(blend.seam for blend in found), sharpness, before


def _run(chosen: argparse.Namespace) -> None:
    store = AvatarStore(chosen.store)
    if chosen.command == "list":
        for manifest in store.list():
            width, height = manifest.size
            motions = f", motions: {', '.join(manifest.motions)}" if manifest.motions else ""
            length = f"{manifest.loop_frames} frames, {manifest.loop}{motions}"
            print(f"{manifest.id}\t{manifest.name}\t{width}x{height}\t{length}")
        for form in store.unfilmed():
            manifest = form.manifest()
            width, height = manifest.size
            print(f"{manifest.id}\t{manifest.name}\t{width}x{height}\tfilmed at its first use")
    elif chosen.command == "show":
        shown = json.loads(store.load(chosen.id).manifest.to_json())
        print(json.dumps(shown | dict.fromkeys(shown.keys() & _LONG_LISTS, "..."), indent=1))
    elif chosen.command == "motion":
        _change_motion(store, chosen)
    elif chosen.command == "build":
        _build(store, chosen)
    elif chosen.command == "crop":
        box = _rectangle(chosen.box) if chosen.box else None
        change = CropChange(chosen.detector, box, chosen.box_smoothing)
        manifest = store.change_crop(chosen.id, change, progress=_show_progress).manifest
        where = "by hand" if manifest.box_by_hand else f"smoothing {manifest.box_smoothing}"
        print(f"{manifest.id}: the detector's boxes are set, {where}; `lipstream avatar prepare` uses them")
    elif chosen.command == "verify":
        store.verify(chosen.id)
        print(f"{chosen.id}: whole")
    elif chosen.command == "remove":
        store.remove(chosen.id)
    else:
        _prepare(store, chosen)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    try:
        _run(_parser().parse_args(arguments))
    except LipstreamError as error:
        print(f"avatar: {error.message}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\navatar: stopped; nothing was changed", file=sys.stderr)
        return 130
    except Exception as error:
        if not is_no_room(error):
            raise
        print("avatar: the disk is full; nothing was changed", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
