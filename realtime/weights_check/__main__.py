"""``lipstream weights check AVATAR``: writes the sheet, and says what to look for."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2

from lipstream.avatar_cache.store import AvatarStore, default_root
from lipstream.realtime.errors import LipstreamError, SettingsError, is_no_room
from lipstream.realtime.lipsync.backends import create_predictor
from lipstream.realtime.lipsync.metadata import (
    BUILT_IN_WEIGHTS,
    MODEL_FORM,
    MODEL_HELP,
    PADS_FORM,
    PADS_HELP,
    pads_argument,
)
from lipstream.realtime.lipsync.own_model import model_argument
from lipstream.realtime.picture.contact_sheet import Bgr
from lipstream.realtime.render import read_sound
from lipstream.realtime.timeline import SOUND_RATE_HZ
from lipstream.realtime.weights_check.sheet import LOOK_FOR, check_avatar

_LONGEST_S = 60
_JPEG_QUALITY = 88


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lipstream weights check",
        description="Draw a sheet on which you see whether a network draws its mouths where the avatar's mouth is.",
    )
    parser.add_argument("avatar", metavar="AVATAR", help="its id; lipstream avatar list shows them")
    parser.add_argument("--weights", type=Path, default=BUILT_IN_WEIGHTS, metavar="FILE", help="(default: built in)")
    parser.add_argument("--out", type=Path, metavar="FILE", help=".png or .jpg (default: check-AVATAR.png)")
    parser.add_argument(
        "--speech", type=Path, metavar="FILE", help="sound of which the first minute is used (default: four vowels)"
    )
    parser.add_argument("--pads", type=pads_argument, metavar=PADS_FORM, help=PADS_HELP)
    parser.add_argument("--model", type=model_argument, default="", metavar=MODEL_FORM, help=MODEL_HELP)
    parser.add_argument("--window-offset", type=int, metavar="SAMPLES", help="from a frame's start to its mel window's")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--store", type=Path, default=default_root(), help="folder of the store (default: %(default)s)")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: Command line; ``None`` takes the process's.

    Returns:
        The exit status: 0 done, 2 an avatar, a file or an option that does not fit.
    """
    options = _parser().parse_args(arguments)
    out: Path = options.out or Path(f"check-{options.avatar}.png")
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        sheet = _draw(options, out)
    except LipstreamError as error:
        print(f"lipstream weights check: {error.message}", file=sys.stderr)
        return 2
    except Exception as error:
        if not is_no_room(error):
            raise
        print("lipstream weights check: the disk is full; nothing was changed", file=sys.stderr)
        return 2
    print(f"{out}: {sheet.shape[1]} x {sheet.shape[0]} px")
    print(LOOK_FOR)
    return 0


def _draw(options: argparse.Namespace, out: Path) -> Bgr:
    """Write the sheet; return it."""
    if out.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise SettingsError(f"{out.name} has to end in .png or .jpg")
    store = AvatarStore(options.store)
    avatar = store.load(options.avatar)
    if not out.absolute().parent.is_dir():
        raise SettingsError(f"cannot write {out}: there is no such folder")
    sound = None
    if options.speech is not None:
        sound = read_sound(options.speech)[: _LONGEST_S * SOUND_RATE_HZ]
    predictor = create_predictor(
        options.weights,
        device=options.device,
        cache=store.graphs,
        window_offset_samples=options.window_offset,
        pads=options.pads,
        model=options.model,
    )
    sheet = check_avatar(avatar, predictor, sound)
    _write(sheet, out)
    return sheet


def _write(sheet: Bgr, out: Path) -> None:
    form = out.suffix.lower()
    written, data = cv2.imencode(form, sheet, [] if form == ".png" else [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    assert written
    try:
        out.write_bytes(data.tobytes())
    except OSError as error:
        raise SettingsError(f"cannot write {out}: {error.strerror}") from error


if __name__ == "__main__":
    sys.exit(main())
