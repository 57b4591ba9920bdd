"""What a file says about where it comes from: made by AI, of what, by whom.

Three readers are served: people (``comment``), tools that know the IPTC vocabulary of digital sources
(``digital_source_type``), and those that read the implicit label of China's GB 45438-2025 (``AIGC``, JSON).
docs/DISCLOSURE.md says why. A signature (C2PA) needs a key and a certificate: it is added afterwards.
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
"""IPTC: a recording (the clip, the voice) put together with what a trained model made (the mouth)."""
_GENERATED = "1"
"""GB 45438-2025's ``Label``: 1 is content known to be generated."""


def content_id(*parts: npt.NDArray[Any] | str) -> str:
    """Return an id that the same ingredients always have, 32 hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.tobytes() if isinstance(part, np.ndarray) else part.encode()
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:32]


def provenance(made_id: str, *, avatar: str, consent: str = "", producer: str = "") -> dict[str, str]:
    """Return the metadata of a file that shows an avatar.

    Args:
        made_id: Of this very content; random, or of :func:`content_id`.
        avatar: The avatar's name.
        consent: What the avatar's manifest says about whose face it is.
        producer: Who makes the file: a name, or the code that a register gave.
    """
    tool = f"Lipstream {_version()}"
    face = f"The face is the avatar {avatar!r}" + (f" ({consent})." if consent else ".")
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
    """Open a file to write a recording to, with its provenance in it.

    Args:
        path: Whose ending tells the format.
        facts: Of :func:`provenance`.

    Raises:
        OSError: If it cannot be written.
        ValueError: If nothing is known of such a format.
    """
    # An MP4 takes only the fields that iTunes knew, unless it is told to take all.
    options = {"movflags": "use_metadata_tags"} if path.suffix.lower() in (".mp4", ".m4v", ".mov") else {}
    container = av.open(str(path), "w", options=options)
    container.metadata.update(facts)
    return container


def _version() -> str:
    try:
        return metadata.version("lipstream")
    except metadata.PackageNotFoundError:  # run from a checkout that was not installed
        return "0"
