"""Metadata that tells where a file comes from: made by AI, with which avatar, by which producer.

It serves three kinds of readers: people (``comment``), tools that know the IPTC vocabulary of digital sources
(``digital_source_type``), and readers of the implicit label of China's GB 45438-2025 (``AIGC``, JSON).
docs/DISCLOSURE.md gives the reasons. A signature (C2PA) needs a key and a certificate and is added afterwards.
"""

import hashlib
import json
from importlib import metadata
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""IPTC term for a composite of recordings (clip, voice) and the output of a trained model (mouth)."""
_GENERATED = "1"
"""GB 45438-2025's ``Label``: 1 is content known to be generated."""


def content_id(*parts: npt.NDArray[Any] | str) -> str:
    """Return an id of 32 hexadecimal digits that depends on the contents of ``parts`` alone."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.tobytes() if isinstance(part, np.ndarray) else part.encode()
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:32]


def provenance(made_id: str, *, avatar: str, consent: str = "", producer: str = "") -> dict[str, str]:
    """Return the metadata of a file that shows an avatar.

    Args:
        consent: Statement of the avatar's manifest about the person shown; empty if there is none. The metadata say
            that it is on record, since it names a person and files and streams are public.
        producer: Producer of the file: a name or a registration code; empty for this software.
    """
    tool = f"Lipstream {version()}"
    face = f"The face is the avatar {avatar!r}" + (", whose consent is on record." if consent else ".")
    implicit = {
        "Label": _GENERATED,
        "ContentProducer": producer or tool,
        "ProduceID": made_id,
        "ReservedCode1": "",
        "ContentPropagator": "",
        "PropagateID": "",
        "ReservedCode2": "",
    }
    return {
        "comment": f"Made by AI: the mouth's movement was generated from speech by {tool}. {face}",
        "digital_source_type": DIGITAL_SOURCE_TYPE,
        "AIGC": json.dumps(implicit, ensure_ascii=False),
    }


def open_marked(path: Path, facts: dict[str, str]) -> av.container.OutputContainer:
    """Open a recording for writing and add its provenance.

    Raises:
        OSError: If the file cannot be written.
        ValueError: If the suffix is of no known format.
    """
    # An MP4 takes only the fields that iTunes knew, unless it is told to take all.
    options = {"movflags": "use_metadata_tags"} if path.suffix.lower() in (".mp4", ".m4v", ".mov") else {}
    container = av.open(str(path), "w", options=options)
    container.metadata.update(facts)
    return container


def version() -> str:
    """Return the version of the installed package; ``0`` for a checkout that is not installed."""
    try:
        return metadata.version("lipstream")
    except metadata.PackageNotFoundError:  # run from a checkout that was not installed
        return "0"
