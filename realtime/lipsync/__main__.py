"""``lipstream weights``: what a weights file is, and the same network as safetensors.

``check`` needs avatars and stands above this package: `lipstream.cli` hands it in.
"""

import argparse
import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from safetensors import SafetensorError

from lipstream.realtime.errors import LipstreamError, SettingsError
from lipstream.realtime.lipsync.metadata import PADS_FORM, PADS_HELP, WeightsMetadata, pads_argument
from lipstream.realtime.lipsync.weights_file import read_file, write_file
from lipstream.realtime.timeline import samples_to_ms

_COLUMN = 16


Command = Callable[[Sequence[str]], int]


def main(arguments: Sequence[str] | None = None, others: Mapping[str, tuple[Command, str]] | None = None) -> int:
    """Run the command.

    Args:
        arguments: Command line; ``None`` takes the process's.
        others: More commands: a function that takes the arguments after the name, and what it does.

    Returns:
        The exit status: 0 done, 2 a file or an option that does not fit.
    """
    arguments, others = sys.argv[1:] if arguments is None else arguments, others or {}
    if arguments and arguments[0] in others:
        run, _ = others[arguments[0]]
        return run(arguments[1:])
    options = _parser({name: meaning for name, (_, meaning) in others.items()}).parse_args(arguments)
    try:
        if options.command == "show":
            _show(options.file)
        else:
            _convert(options)
    except LipstreamError as error:
        print(f"lipstream weights: {error.message}", file=sys.stderr)
        return 2
    return 0


def _parser(others: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lipstream weights",
        description="Look at a Wav2Lip network's file, or convert it. No code of the file is run.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    show = commands.add_parser("show", help="what a file is: format, network, look-ahead, licence")
    show.add_argument("file", type=Path)
    convert = commands.add_parser("convert", help="write the network as safetensors, with its facts")
    convert.add_argument("file", type=Path)
    convert.add_argument("out", type=Path, metavar="OUT.safetensors")
    convert.add_argument(
        "--window-offset", type=int, metavar="SAMPLES",
        help="from a frame's first sample to its mel window's, 16 kHz (default: the file's, or -640 as published)",
    )  # fmt: skip
    convert.add_argument(
        "--pads", type=pads_argument, metavar=PADS_FORM, help=f"{PADS_HELP}; default: the file's, or as published"
    )
    convert.add_argument("--licence", metavar="TEXT", help="of the weights (default: the file's, or unknown)")
    convert.add_argument(
        "--half", action="store_true", help="16 bits a number: half the file, nearly the same pictures"
    )
    for name, meaning in others.items():
        commands.add_parser(name, help=meaning)
    return parser


def _show(path: Path) -> None:
    file = read_file(path)
    buffers = (".running_mean", ".running_var", ".num_batches_tracked")
    parameters = sum(tensor.size for name, tensor in file.tensors.items() if not name.endswith(buffers))
    for name, value in _facts(file.metadata, file.form, parameters):
        print(f"{name:{_COLUMN}}{value}")


def _facts(metadata: WeightsMetadata, form: str, parameters: int) -> list[tuple[str, str]]:
    hearing = "" if metadata.audio_width == metadata.width else f", its audio encoder {metadata.audio_width:g}"
    region = metadata.decoded_region
    pads = ",".join(map(str, metadata.pads))
    content = f"a detector's box with pads {pads}" if metadata.crop == "detector" else "Lipstream's square"
    drawn = f"rows {region.top} to {region.bottom}, columns {region.left} to {region.right}"
    return [
        ("name", metadata.name),
        ("format", form),
        ("layout", f"{metadata.layout}, audio encoder {metadata.ear}, head {metadata.head}"),
        ("width", f"{metadata.width:g}{hearing}"),
        ("crop", f"{metadata.size} px, {content}"),
        ("drawn", drawn if metadata.paint_scale == 1 else f"{drawn}, the inside of the mouth at twice the size"),
        ("parameters", f"{parameters:,}"),
        ("window offset", f"{metadata.window_offset_samples} samples"),
        ("look-ahead", f"{samples_to_ms(metadata.look_ahead_samples):g} ms"),
        ("licence", metadata.licence),
        ("sha256", metadata.sha256),
    ]


def _convert(options: argparse.Namespace) -> None:
    out: Path = options.out
    if out.suffix != ".safetensors":
        raise SettingsError(f"{out.name} has to end in .safetensors")
    if out.exists():
        raise SettingsError(f"{out} is there already")
    file = read_file(options.file, window_offset_samples=options.window_offset)
    metadata = file.metadata.with_pads(options.pads)
    if options.licence:
        metadata = dataclasses.replace(metadata, licence=options.licence)
    try:
        write_file(out, file.tensors, metadata, half=options.half)
    except (OSError, SafetensorError) as error:
        raise SettingsError(f"cannot write {out}: {error}") from error


if __name__ == "__main__":
    sys.exit(main())
