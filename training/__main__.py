# ruff: noqa: PLC0415 (each step imports only its own modules: some take seconds)
"""``python -m training --help`` lists the steps; README.md in this folder explains them."""

from __future__ import annotations

import argparse
from pathlib import Path

from lipstream.realtime.errors import LipstreamError
from lipstream.realtime.lipsync.metadata import CROPS
from lipstream.realtime.lipsync.mouth_code import DEFAULT_ARTICULATION


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("training-data"), help="where everything is kept")
    parser.add_argument("--seed", type=int, default=1)
    steps = parser.add_subparsers(dest="step", required=True)
    heads = steps.add_parser("heads", help="make the identities: the built-in people and random ones")
    heads.add_argument("--count", type=int, default=62)
    speech = steps.add_parser("speech", help="speak sentences with exact phone times")
    speech.add_argument("--shards", type=int, default=30)
    speech.add_argument("--clips", type=int, default=50, help="a shard")
    faces = steps.add_parser("faces", help="draw scenes (needs speech and heads)")
    faces.add_argument("--shards", type=int, default=84)
    faces.add_argument("--scenes", type=int, default=40, help="a shard, of 5 pictures each")
    faces.add_argument("--built-in-share", type=float, default=0.15, help="of scenes that show the built-in people")
    listen = steps.add_parser("listen", help="train an audio encoder (needs speech and heads)")
    listen.add_argument("--ear", choices=("sliding", "published"), default="sliding", help="which of the two")
    listen.add_argument("--offset", type=int, default=None, help="samples from a frame's start to its window's")
    lookahead = steps.add_parser("look-ahead", help="measure what hearing gains by waiting (needs speech and heads)")
    lookahead.add_argument("--minutes", type=float, default=15.0)
    lookahead.add_argument("--plot", type=Path, help="the picture to draw")
    fit = steps.add_parser("fit", help="train face encoder and decoder (needs faces), or adapt weights to a --clip")
    fit.add_argument("--clip", type=Path, help="a person speaking, with sound: weights are adapted to them")
    fit.add_argument("--critical", action="store_true", help="let a critic have a say, for the last part (no --clip)")
    fit.add_argument("--out", type=Path, help="the weights file to write (with --clip)")
    for step, minutes in ((listen, 40.0), (fit, 90.0)):
        step.description = "Goes on from its checkpoint if there is one."
        step.add_argument("--minutes", type=float, default=minutes, help="in all")
        step.add_argument("--weights", type=Path, help="what to begin with (--clip: the built-in ones; else nothing)")
    for step in (speech, faces):
        step.add_argument("--workers", type=int, default=2)
    sync = steps.add_parser("sync", help="fit what says how well lips and sound belong together, for evaluate")
    sync.add_argument("--clips", type=int, default=120, help="to draw, of 60 frames")
    sync.add_argument("--minutes", type=float, default=6.0)
    export = steps.add_parser("export", help="put both together as a weights file")
    export.add_argument("--out", type=Path, required=True)
    export.add_argument("--ear", type=Path, help="a weights file to take the audio encoder from (default: listen's)")
    for step in (faces, fit, export):
        step.add_argument(
            "--crop", choices=CROPS, default="lipstream", help="what the pictures show; published: detector"
        )
    for step in (fit, export):
        step.add_argument("--head", choices=("copy", "paint"), default="copy", help="output layer; published: paint")
    place = steps.add_parser("place", help="measure where weights with a detector's crop draw the lips (needs heads)")
    place.add_argument("--weights", type=Path, required=True)
    place.add_argument("--audio", type=Path, required=True, help="speech that the heads say")
    place.add_argument("--heads", type=int, default=4, help="that no fit has seen")
    place.add_argument("--plot", type=Path, help="the picture to write: truth, these weights, the wrong crop")
    calibration = steps.add_parser("calibration", help="choose what eight-bit ranges are learned from")
    calibration.add_argument("--out", type=Path, required=True)
    evaluate = steps.add_parser("evaluate", help="measure a weights file")
    evaluate.add_argument("--weights", type=Path, required=True)
    evaluate.add_argument("--recordings", type=Path, help="folder of the recorded prompts")
    evaluate.add_argument("--photograph", type=Path, help="of one person, to be built and driven (needs --face-mesh)")
    evaluate.add_argument("--face-mesh", type=Path, help="MediaPipe's face_landmark.tflite, which reads its lips")
    evaluate.add_argument("--plots", type=Path, help="folder to write plots to")
    evaluate.add_argument("--clips", type=int, default=8)
    evaluate.add_argument("--articulation", type=float, default=DEFAULT_ARTICULATION, help="0.5 to 1.5 (%(default)s)")
    evaluate.add_argument("--as-heard", action="store_true", help="neither steadied nor articulated")
    portraits = steps.add_parser("portraits", help="show the built-in avatars saying a sentence")
    portraits.add_argument("--weights", type=Path, required=True)
    portraits.add_argument("--out", type=Path, required=True)
    landmarks = steps.add_parser("landmarks", help="fit the face landmarks of avatar_cache (needs heads)")
    landmarks.add_argument("--shards", type=int, default=10, help="of 256 pictures")
    landmarks.add_argument("--steps", type=int, default=3000, help="of 64 crops")
    avatars = steps.add_parser("avatars", help="film the built-in avatars (needs heads)")
    avatars.add_argument("--out", type=Path, required=True)
    return parser


def _heads(options: argparse.Namespace) -> None:
    from training.characters import PEOPLE
    from training.identities import build_heads

    heads = build_heads([person.identity for person in PEOPLE], options.count, options.seed)
    heads.save(options.data / "heads.npz")


def _speech(options: argparse.Namespace) -> None:
    from training.speech import HELD_OUT, build_speech

    size = {"clips": options.clips, "workers": options.workers}
    build_speech(options.data, "held-speech", shards=2, seed=options.seed + 100, voices=HELD_OUT, **size)
    build_speech(options.data, "speech", shards=options.shards, seed=options.seed, **size)


def _faces(options: argparse.Namespace) -> None:
    from training.dataset import build_faces

    build_faces(
        options.data,
        shards=options.shards,
        scenes=options.scenes,
        seed=options.seed,
        workers=options.workers,
        built_in_share=options.built_in_share,
        crop=options.crop,
    )


def _listen(options: argparse.Namespace) -> None:
    from training.audio_encoder import listen
    from training.augmentation import WINDOW_OFFSET_SAMPLES

    offset = WINDOW_OFFSET_SAMPLES if options.offset is None else options.offset
    learning = {"minutes": options.minutes, "weights": options.weights, "seed": options.seed}
    listen(options.data, options.data / f"{options.ear}.pt", offset=offset, ear=options.ear, **learning)


def _look_ahead(options: argparse.Namespace) -> None:
    from training.lookahead import look_ahead_curve

    curve = look_ahead_curve(options.data, minutes=options.minutes, seed=options.seed, plot=options.plot)
    if curve:
        print(f"{'look-ahead (ms)':16} {'aperture r':>10} {'width r':>8}")
    for waited_ms, (aperture, width) in curve.items():
        print(f"{waited_ms:16.1f} {aperture:10.3f} {width:8.3f}")


def _fit(options: argparse.Namespace) -> None:
    from training.fit import fit

    if options.clip:
        _fit_person(options)
        return
    learning = {"minutes": options.minutes, "weights": options.weights, "seed": options.seed}
    kind = {"head": options.head, "crop": options.crop}
    try:
        fit(options.data, _face_checkpoint(options), critical=options.critical, **kind, **learning)
    except LipstreamError as error:
        raise SystemExit(error.message) from None


def _face_checkpoint(options: argparse.Namespace) -> Path:
    usual = (options.head, options.crop) == ("copy", "lipstream")
    return Path(options.data, "fit.pt" if usual else f"fit-{options.head}-{options.crop}.pt")


def _fit_person(options: argparse.Namespace) -> None:
    from lipstream.realtime.lipsync.metadata import BUILT_IN_WEIGHTS
    from training.personal import personal_fit

    if not options.out:
        raise SystemExit("fit --clip needs --out")
    weights = options.weights or BUILT_IN_WEIGHTS
    try:
        figures = personal_fit(options.clip, weights, options.out, minutes=options.minutes, seed=options.seed)
    except LipstreamError as error:
        raise SystemExit(error.message) from None
    print(f"{'on the part kept out':24} {'before':>8} {'after':>8}")
    for name, (before, after) in figures.items():
        print(f"{name:24} {before:8.3f} {after:8.3f}")


def _sync(options: argparse.Namespace) -> None:
    from training.clips import build_sync_clips
    from training.sync import fit_sync

    build_sync_clips(options.data, clips=options.clips, seed=options.seed)
    fit_sync(options.data, minutes=options.minutes, seed=options.seed)


def _calibration(options: argparse.Namespace) -> None:
    from training.calibration import write_calibration

    write_calibration(options.data, options.out, seed=options.seed)


def _export(options: argparse.Namespace) -> None:
    from training.export import export

    ears = options.ear or (options.data / "published.pt", options.data / "sliding.pt")
    kind = {"head": options.head, "crop": options.crop}
    try:
        export(ears, _face_checkpoint(options), options.out, name=options.out.stem, **kind)
    except LipstreamError as error:
        raise SystemExit(error.message) from None


def _place(options: argparse.Namespace) -> None:
    from training.place_heads import place

    try:
        rows = place(options.data, options.weights, options.audio, heads=options.heads, plot=options.plot)
    except LipstreamError as error:
        raise SystemExit(error.message) from None
    for name, figures in rows.items():
        print(name)
        for figure, value in figures.items():
            print(f"  {figure:46} {value:8.2f}")


def _evaluate(options: argparse.Namespace) -> None:
    from training.evaluate import evaluate
    from training.photograph import photograph_figures
    from training.vowels import vowel_figures

    told = (options.photograph, options.face_mesh, options.recordings)
    if options.photograph and None in told:
        raise SystemExit("evaluate --photograph needs --face-mesh and --recordings")
    articulation = None if options.as_heard else options.articulation
    shown = {"plots": options.plots, "clips": options.clips, "articulation": articulation}
    figures = evaluate(options.weights, options.data, options.recordings, **shown)
    figures |= vowel_figures(options.weights, options.data, sentences=options.clips, articulation=articulation)
    if options.photograph:
        figures |= photograph_figures(options.weights, options.data, *told, plots=options.plots)
    for name, value in figures.items():
        print(f"{name:48} {value:8.3f}")


def _portraits(options: argparse.Namespace) -> None:
    from training.portraits import write_portraits

    write_portraits(options.weights, options.out)


def _landmarks(options: argparse.Namespace) -> None:
    from training.landmark_faces import build_landmark_faces
    from training.landmarks import fit_landmarks

    build_landmark_faces(options.data, shards=options.shards, seed=options.seed, workers=2)
    fit_landmarks(options.data, steps=options.steps, seed=options.seed)


def _avatars(options: argparse.Namespace) -> None:
    from training.avatars import write_avatars
    from training.heads import HeadSet

    write_avatars(HeadSet.load(options.data / "heads.npz"), options.out)


_STEPS = {
    "heads": _heads,
    "speech": _speech,
    "faces": _faces,
    "listen": _listen,
    "look-ahead": _look_ahead,
    "fit": _fit,
    "sync": _sync,
    "export": _export,
    "calibration": _calibration,
    "evaluate": _evaluate,
    "place": _place,
    "portraits": _portraits,
    "landmarks": _landmarks,
    "avatars": _avatars,
}


def main() -> None:
    """Run the step that the command line names."""
    options = _parser().parse_args()
    options.data.mkdir(parents=True, exist_ok=True)
    _STEPS[options.step](options)


if __name__ == "__main__":
    main()
