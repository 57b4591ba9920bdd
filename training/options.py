"""The command line of ``python -m training``."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from lipstream.realtime.lipsync.articulation import DEFAULT_ARTICULATION
from lipstream.realtime.lipsync.metadata import CROPS

FILM_TEXT = (
    "Please bring a map, a pen, and both of the blue books. My brother bought a warm pie for Pam. "
    "We have five of the very fine vases, and few of them are safe. You should choose two shoes before the show. "
    "The weather over there is rather rough. What a wonderful view above the whole bay!"
)


def create_parser() -> argparse.ArgumentParser:
    """Return the parser of ``python -m training``, whose namespace has the step's name as ``step``."""
    parser = argparse.ArgumentParser(
        prog="python -m training", description="The steps, in their order; README.md in this folder explains them."
    )
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
    faces.add_argument("--fine", action="store_true", help="of 192 px, for fit --fine")
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
    fit.add_argument("--batch", type=int, default=36, help="mouths a step, a multiple of 3 (no --clip)")
    fit.add_argument("--moved", type=float, default=0.12, help="most that references are moved by (--head paint)")
    fit.add_argument("--fine", action="store_true", help="teach the fine layers of weights alone (needs faces --fine)")
    fit.add_argument("--plot", type=Path, help="with --clip: picture of the part kept out, filmed, before and after")
    fit.add_argument("--out", type=Path, help="the weights file to write (with --clip or --fine)")
    for step, minutes in ((listen, 40.0), (fit, 90.0)):
        step.description = "Goes on from its checkpoint if there is one."
        step.add_argument("--minutes", type=float, default=minutes, help="in all")
        step.add_argument(
            "--weights", type=Path, help="what to begin with (default nothing; the built-in ones with --clip or --fine)"
        )
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
    boxes = steps.add_parser("boxes", help="compare face boxes with those of MTCNN (needs heads, facenet-pytorch)")
    boxes.add_argument("--heads", type=int, default=40, help="to render")
    boxes.add_argument("--photograph", type=Path, nargs="+", default=[], help="of one person each")
    rendered = steps.add_parser(
        "rendered", help="render the truth of python -m benchmarks mouths (needs heads, speech)"
    )
    rendered.add_argument("--out", type=Path, required=True)
    rendered.add_argument("--scenes", type=int, default=16, help="of two mouths")
    calibration = steps.add_parser("calibration", help="choose what eight-bit ranges are learned from")
    calibration.add_argument("--out", type=Path, required=True)
    evaluate = steps.add_parser("evaluate", help="measure a weights file")
    evaluate.add_argument("--weights", type=Path, required=True)
    evaluate.add_argument("--recordings", type=Path, help="folder of the recorded prompts")
    evaluate.add_argument(
        "--photograph", type=Path, nargs="+", default=[], help="of one person each, to be driven (needs --face-mesh)"
    )
    evaluate.add_argument("--people", action="store_true", help="the built-in avatars too (needs --face-mesh)")
    evaluate.add_argument("--face-mesh", type=Path, help="MediaPipe's face_landmark.tflite, which reads its lips")
    evaluate.add_argument("--plots", type=Path, help="folder to write plots to")
    evaluate.add_argument("--clips", type=int, default=8)
    evaluate.add_argument("--articulation", type=float, default=DEFAULT_ARTICULATION, help="0.5 to 1.5 (%(default)s)")
    evaluate.add_argument("--as-heard", action="store_true", help="neither steadied nor articulated")
    gpu = steps.add_parser("gpu", help="render, fit and measure in one call on a machine with a card and no network")
    gpu.add_argument("--pack", type=Path, help="copy what a call needs to this folder, and do nothing else")
    gpu.add_argument("--part", type=int, default=1, help="which call: others draw other scenes")
    gpu.add_argument("--weights", type=Path, help="what the part before brought back (default the built-in ones)")
    gpu.add_argument("--minutes", type=float, default=5.5, help="of the whole call")
    gpu.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes that render")
    gpu.add_argument("--batch", type=int, default=144, help="mouths a step, a multiple of 3")
    gpu.add_argument("--clips", type=int, default=2, help="sentences to measure")
    gpu.add_argument("--out", type=Path, default=Path("gpu-out"), help="what comes back")
    portraits = steps.add_parser("portraits", help="show the built-in avatars saying a sentence")
    portraits.add_argument("--weights", type=Path, required=True)
    portraits.add_argument("--out", type=Path, required=True)
    landmarks = steps.add_parser("landmarks", help="fit the face landmarks of avatar_cache (needs heads)")
    landmarks.add_argument("--shards", type=int, default=10, help="of 256 pictures")
    landmarks.add_argument("--steps", type=int, default=3000, help="of 64 crops")
    people = steps.add_parser("people", help="write meshes and shots of the path-traced people, for Blender")
    people.add_argument("--size", type=int, default=1024, help="side of the stills, px")
    people.add_argument("--samples", type=int, default=32, help="light paths a pixel")
    traced = steps.add_parser("traced", help="write what Blender needs to path-trace training pictures (needs speech)")
    traced.add_argument("--people", type=int, default=66, help="of whom six are kept for evaluation")
    traced.add_argument("--mouths", type=int, default=6000, help="of speech, to choose from")
    film = steps.add_parser(
        "film", help="plan a film of a path-traced person (needs traced), or join what was rendered"
    )
    film.add_argument("--person", type=int, default=65, help="number of the person among those of traced")
    film.add_argument("--text", default=FILM_TEXT, help="what is said (default: six sentences)")
    film.add_argument("--out", type=Path, help="the MP4 file to write of the rendered frames")
    stills = steps.add_parser("stills", help="keep the stills that Blender rendered (needs people)")
    avatars = steps.add_parser("avatars", help="draw Mira, and film every built-in avatar of stills")
    avatars.add_argument("--sheet", type=Path, help="picture of all stills to write, a JPEG")
    for step in (stills, avatars):
        step.add_argument("--out", type=Path, required=True)
    return parser
