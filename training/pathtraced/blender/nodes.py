"""A shorthand for the material nodes of Blender."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import bpy

Value = Any
"""A number, a tuple, a node (its first output), or a socket."""


class Nodes:
    """The nodes of one new material."""

    def __init__(self, name: str) -> None:
        self._material = bpy.data.materials.new(name)
        self._material.use_nodes = True
        self._tree = self._material.node_tree
        self._tree.nodes.clear()
        self._out = self._tree.nodes.new("ShaderNodeOutputMaterial")

    def add(self, kind: str, inputs: dict[str | int, Value] | None = None, **settings: Value) -> Value:
        """Add a node with these inputs, by name or number, and settings.

        Raises:
            KeyError: If the node has no such input.
        """
        node = self._tree.nodes.new("ShaderNode" + kind)
        for key, value in settings.items():
            setattr(node, key, value)
        for which, value in (inputs or {}).items():
            if isinstance(which, int):
                self.put(node.inputs[which], value)
                continue
            enabled = [socket for socket in node.inputs if socket.name == which and socket.enabled]
            if not enabled:
                raise KeyError(f"{kind} has no input {which}")
            self.put(enabled[0], value)
        return node

    def put(self, socket: Value, value: Value) -> None:
        """Set or link a socket."""
        if isinstance(value, bpy.types.NodeSocket):
            self._tree.links.new(value, socket)
        elif isinstance(value, bpy.types.Node):
            self._tree.links.new(value.outputs[0], socket)
        else:
            socket.default_value = value

    def finish(self, shader: Value) -> Value:
        """Make a shader the material's surface; return the material."""
        self.put(self._out.inputs["Surface"], shader)
        return self._material

    def vector(self, name: str) -> Value:
        """Return a vector of the mesh's vertices."""
        return self.add("Attribute", attribute_name=name).outputs["Vector"]

    def colour(self, name: str) -> Value:
        """Return a colour of the mesh's vertices."""
        return self.add("Attribute", attribute_name=name).outputs["Color"]

    def parts(self, vector: Value) -> Sequence[Value]:
        """Return the three components of a vector."""
        outputs: Sequence[Value] = self.add("SeparateXYZ", {0: vector}).outputs
        return outputs

    def math(self, operation: str, a: Value, b: Value = 0.0, c: Value = 0.0) -> Value:
        """Return a result of a mathematical node."""
        return self.add("Math", {0: a, 1: b, 2: c}, operation=operation).outputs[0]

    def product(self, *factors: Value) -> Value:
        """Return the product of numbers."""
        out = factors[0]
        for factor in factors[1:]:
            out = self.math("MULTIPLY", out, factor)
        return out

    def total(self, *terms: Value) -> Value:
        """Return the sum of numbers."""
        out = terms[0]
        for term in terms[1:]:
            out = self.math("ADD", out, term)
        return out

    def tint(self, weight: Value, colour: Value, factor: tuple[float, float, float]) -> Value:
        """Return a colour times `factor` where `weight` is 1."""
        node = self.add("Mix", data_type="RGBA", blend_type="MULTIPLY", clamp_factor=True)
        for socket, value in zip((0, 6, 7), (weight, colour, (*factor, 1.0)), strict=True):
            self.put(node.inputs[socket], value)
        return node.outputs[2]

    def noise(self, vector: Value, scale: float, detail: float = 2.0, rough: float = 0.5) -> Value:
        """Return clouds, about 0.5."""
        inputs: dict[str | int, Value] = {"Vector": vector, "Scale": scale, "Detail": detail, "Roughness": rough}
        return self.add("TexNoise", inputs).outputs[0]

    def cells(self, vector: Value, scale: float) -> Value:
        """Return a node of random cells: distance from the nearest point, and its random colour."""
        return self.add("TexVoronoi", {"Vector": vector, "Scale": scale, "Randomness": 1.0}, feature="F1")

    def ramp(self, value: Value, low: float, high: float) -> Value:
        """Return a smooth step from 0 at `low` to 1 at `high`."""
        inputs: dict[str | int, Value] = {0: value, 1: low, 2: high, 3: 0.0, 4: 1.0}
        return self.add("MapRange", inputs, interpolation_type="SMOOTHSTEP").outputs[0]

    def scaled(self, vector: Value, factors: tuple[float, float, float]) -> Value:
        """Return a vector times factors along each axis."""
        return self.add("VectorMath", {0: vector, 1: factors}, operation="MULTIPLY").outputs[0]

    def bump(self, height_m: Value) -> Value:
        """Return normals bent by a relief."""
        return self.add("Bump", {"Strength": 1.0, "Distance": 1.0, "Height": height_m})
