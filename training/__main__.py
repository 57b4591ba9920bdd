# ruff: noqa: PLC0415 (a step imports no more than it needs: some of these take seconds)
"""``python -m training speech|heads|faces|fit|export|evaluate|landmarks|avatars``: see README.md in this folder."""

from __future__ import annotations

import argparse
from pathlib import Path


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("training-data"), help="where everything is kept")
    parser.add_argument("--seed", type=int, default=1)
    steps = parser.add_subparsers(dest="step", required=True)
    speech = steps.add_parser("speech", help="speak sentences with exact phone times")
    speech.add_argument("--clips", type=int, default=1000)
    speech.add_argument("--held-out-clips", type=int, default=60)
    heads = steps.add_parser("heads", help="make the identities: the built-in people and random ones")
    heads.add_argument("--count", type=int, default=62)
    faces = steps.add_parser("faces", help="draw scenes (needs speech and heads)")
    faces.add_argument("--shards", type=int, default=110, help="of 40 scenes of 5 pictures")
    faces.add_argument("--built-in-share", type=float, default=0.15, help="of scenes that show the built-in people")
    faces.add_argument("--workers", type=int, default=2)
    fit = steps.add_parser("fit", help="train; goes on from the checkpoint if there is one")
    fit.add_argument("--minutes", type=float, default=60.0)
    fit.add_argument("--rate", type=float, default=1.5e-3)
    export = steps.add_parser("export", help="write the checkpoint as a weights file")
    export.add_argument("--out", type=Path, required=True)
    evaluate = steps.add_parser("evaluate", help="measure a weights file")
    evaluate.add_argument("--weights", type=Path, required=True)
    evaluate.add_argument("--recording", type=Path, action="append", default=[], help="of a person; repeatable")
    landmarks = steps.add_parser("landmarks", help="fit the face landmarks of avatar_cache (needs heads)")
    landmarks.add_argument("--shards", type=int, default=10, help="of 256 pictures")
    landmarks.add_argument("--steps", type=int, default=3000, help="of 64 crops")
    avatars = steps.add_parser("avatars", help="film the built-in avatars (needs heads)")
    avatars.add_argument("--out", type=Path, required=True)
    return parser


def main() -> None:
    """Run one step."""
    options = _parser().parse_args()
    data: Path = options.data
    data.mkdir(parents=True, exist_ok=True)
    if options.step == "speech":
        from training.speech import HELD_OUT_VOICE, TRAINING_VOICES, build_speech

        held = data / "speech-held.npz"
        build_speech(held, clips=options.held_out_clips, seed=options.seed + 100, voices=(HELD_OUT_VOICE,))
        build_speech(data / "speech.npz", clips=options.clips, seed=options.seed, voices=TRAINING_VOICES)
    elif options.step == "heads":
        from training.identities import build_heads
        from training.people import PEOPLE

        build_heads([person.identity for person in PEOPLE], options.count, options.seed).save(data / "heads.npz")
    elif options.step == "faces":
        from training.dataset import build_faces

        build_faces(
            data,
            shards=options.shards,
            seed=options.seed,
            workers=options.workers,
            built_in_share=options.built_in_share,
        )
    elif options.step == "fit":
        from training.fit import fit

        fit(data, data / "fit.pt", minutes=options.minutes, rate=options.rate, seed=options.seed)
    elif options.step == "export":
        from training.export import export

        export(data / "fit.pt", options.out)
    elif options.step == "evaluate":
        from training.evaluate import evaluate

        for name, value in evaluate(options.weights, data, options.recording).items():
            print(f"{name:45} {value:8.3f}")
    elif options.step == "landmarks":
        from training.landmark_faces import build_landmark_faces
        from training.landmarks import fit_landmarks

        build_landmark_faces(data, shards=options.shards, seed=options.seed, workers=2)
        fit_landmarks(data, steps=options.steps, seed=options.seed)
    else:
        from training.avatars import write_avatars
        from training.heads import HeadSet

        write_avatars(HeadSet.load(data / "heads.npz"), options.out)


if __name__ == "__main__":
    main()
