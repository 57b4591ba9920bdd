# ruff: noqa: PLC0415 (each step imports only its own modules: some take seconds)
"""``python -m training --help`` lists the steps; README.md in this folder explains them."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from pathlib import Path

from lipstream.realtime.errors import LipstreamError
from training.options import create_parser


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
    from training.pairs import CROP, FINE_CROP

    if options.fine and options.crop != "lipstream":
        raise SystemExit("faces --fine is of Lipstream's crop")
    build_faces(
        options.data,
        shards=options.shards,
        scenes=options.scenes,
        seed=options.seed,
        workers=options.workers,
        built_in_share=options.built_in_share,
        crop=options.crop,
        size=FINE_CROP if options.fine else CROP,
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
    if options.fine:
        _fit_fine(options)
        return
    learning = {"minutes": options.minutes, "weights": options.weights, "seed": options.seed, "moved": options.moved}
    kind = {"head": options.head, "crop": options.crop, "batch_size": options.batch}
    fit(options.data, _face_checkpoint(options), critical=options.critical, **kind, **learning)


def _face_checkpoint(options: argparse.Namespace) -> Path:
    usual = (options.head, options.crop) == ("copy", "lipstream")
    return Path(options.data, "fit.pt" if usual else f"fit-{options.head}-{options.crop}.pt")


def _fit_fine(options: argparse.Namespace) -> None:
    from lipstream.realtime.lipsync.metadata import BUILT_IN_WEIGHTS
    from training.fine_fit import fine_fit

    if not options.out:
        raise SystemExit("fit --fine needs --out")
    learning = {"minutes": options.minutes, "critical": options.critical, "seed": options.seed}
    fine_fit(options.data, options.weights or BUILT_IN_WEIGHTS, options.out, **learning)


def _fit_person(options: argparse.Namespace) -> None:
    from lipstream.realtime.lipsync.metadata import BUILT_IN_WEIGHTS
    from training.personal import personal_fit

    if not options.out:
        raise SystemExit("fit --clip needs --out")
    weights = options.weights or BUILT_IN_WEIGHTS
    figures = personal_fit(
        options.clip, weights, options.out, minutes=options.minutes, seed=options.seed, plot=options.plot
    )
    print(f"{'on the part kept out':24} {'before':>8} {'after':>8}")
    for name, (before, after) in figures.items():
        print(f"{name:24} {before:8.3f} {after:8.3f}")


def _rendered(options: argparse.Namespace) -> None:
    from training.rendered import write_rendered

    write_rendered(options.data, options.out, scenes=options.scenes, seed=options.seed)


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
    export(ears, _face_checkpoint(options), options.out, name=options.out.stem, **kind)


def _place(options: argparse.Namespace) -> None:
    from training.place_heads import place

    rows = place(options.data, options.weights, options.audio, heads=options.heads, plot=options.plot)
    _print_rows(rows)


def _print_rows(rows: Mapping[str, Mapping[str, float]]) -> None:
    for name, figures in rows.items():
        print(name)
        for figure, value in figures.items():
            print(f"  {figure:46} {value:8.2f}")


def _boxes(options: argparse.Namespace) -> None:
    from training.box_heads import box_figures

    wanted = {"heads": options.heads, "photographs": options.photograph, "seed": options.seed}
    rows = box_figures(options.data, **wanted)
    _print_rows(rows)


def _evaluate(options: argparse.Namespace) -> None:
    from training.bounds import aligner_figures
    from training.evaluate import evaluate
    from training.vowels import vowel_figures

    driven = bool(options.photograph) or options.people
    if driven and None in (options.face_mesh, options.recordings):
        raise SystemExit("evaluate --photograph and --people need --face-mesh and --recordings")
    articulation = None if options.as_heard else options.articulation
    shown = {"plots": options.plots, "clips": options.clips, "articulation": articulation}
    figures = evaluate(options.weights, options.data, options.recordings, **shown)
    figures |= vowel_figures(options.weights, options.data, sentences=options.clips, articulation=articulation)
    figures |= aligner_figures(options.data)
    for name, value in figures.items():
        print(f"{name:48} {value:8.3f}")
    if driven:
        _print_portraits(options)


def _print_portraits(options: argparse.Namespace) -> None:
    from lipstream.avatar_cache.store import BUILT_IN
    from training.photograph import PORTRAIT_FIGURES, portrait_figures

    people = sorted(folder.name for folder in BUILT_IN.glob("*/")) if options.people else []
    given = (options.photograph, options.face_mesh, options.recordings)
    rows = portrait_figures(options.weights, options.data, *given, avatars=people, plots=options.plots)
    print(f"{'':16}" + "".join(f"{name:>14}" for name in PORTRAIT_FIGURES))
    for name, figures in rows.items():
        print(f"{name:16}" + "".join(f"{figures.get(key, math.nan):14.3f}" for key in PORTRAIT_FIGURES))


def _gpu(options: argparse.Namespace) -> None:
    from lipstream.realtime.lipsync.metadata import BUILT_IN_WEIGHTS
    from training.gpu import Part, pack, run_part

    if options.pack:
        for path in pack(options.data, options.pack):
            print(f"{path.name:24} {path.stat().st_size / 2**20:6.1f} MiB")
        return
    part = Part(options.part, options.minutes, options.workers, options.batch, options.clips)
    run_part(options.data, options.out, part, weights=options.weights or BUILT_IN_WEIGHTS)


def _portraits(options: argparse.Namespace) -> None:
    from training.portraits import write_portraits

    write_portraits(options.weights, options.out)


def _landmarks(options: argparse.Namespace) -> None:
    from training.landmark_faces import build_landmark_faces
    from training.landmarks import fit_landmarks

    build_landmark_faces(options.data, shards=options.shards, seed=options.seed, workers=2)
    fit_landmarks(options.data, steps=options.steps, seed=options.seed)


def _people(options: argparse.Namespace) -> None:
    from training.pathtraced.export import export_heads
    from training.pathtraced.people import SITTERS
    from training.pathtraced.shots import ShotList, shots_of

    export_heads([sitter.identity for sitter in SITTERS], options.data / "people.npz")
    shots = [shot for sitter in SITTERS for shot in shots_of(sitter, size_px=options.size, samples=options.samples)]
    ShotList("people.npz", shots).save(options.data / "shots.json")


def _traced(options: argparse.Namespace) -> None:
    from training.pathtraced.plan import write_plan

    write_plan(options.data, people=options.people, mouths=options.mouths, seed=options.seed)


def _film(options: argparse.Namespace) -> None:
    from training.pathtraced.filming import join_film, plan_film

    if options.out:
        join_film(options.data, options.out)
    else:
        plan_film(options.data, options.text, person=options.person, seed=options.seed)


def _stills(options: argparse.Namespace) -> None:
    from training.pathtraced.clips import keep_stills

    keep_stills(options.data / "stills", options.out)


def _avatars(options: argparse.Namespace) -> None:
    from training.pathtraced.clips import keep_drawing, write_sheet, write_still_avatars

    keep_drawing(options.out)
    write_still_avatars(options.out)
    if options.sheet:
        write_sheet(options.out, options.sheet)


_STEPS = {
    "heads": _heads,
    "speech": _speech,
    "faces": _faces,
    "listen": _listen,
    "look-ahead": _look_ahead,
    "fit": _fit,
    "sync": _sync,
    "export": _export,
    "rendered": _rendered,
    "calibration": _calibration,
    "evaluate": _evaluate,
    "place": _place,
    "boxes": _boxes,
    "gpu": _gpu,
    "portraits": _portraits,
    "landmarks": _landmarks,
    "people": _people,
    "traced": _traced,
    "film": _film,
    "stills": _stills,
    "avatars": _avatars,
}


def main() -> None:
    """Run the step that the command line names."""
    options = create_parser().parse_args()
    options.data.mkdir(parents=True, exist_ok=True)
    try:
        _STEPS[options.step](options)
    except LipstreamError as error:
        raise SystemExit(error.message) from None


if __name__ == "__main__":
    main()
