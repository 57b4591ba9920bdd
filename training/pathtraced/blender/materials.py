"""The materials: skin, eyes, hair, cloth, spectacles. Heights of relief are metres, scales are waves a metre."""

from __future__ import annotations

from typing import Any

from training.pathtraced.blender.nodes import Nodes
from training.pathtraced.people import Clothes

Material = Any
_TAU = 6.283185


def skin(*, quick: bool = False) -> Material:
    """Return skin: mottled, with freckles, pores, wrinkles, creased lips, and light that travels below.

    Args:
        quick: Whether that light is worked out from its spread (P. Christensen and B. Burley, 2015) and not by paths
            below the skin, which suffices for small pictures.
    """
    m = Nodes("skin")
    canon = m.vector("canon")
    lip, wet, _ = m.parts(m.vector("zones"))
    rough, freckles, dry = m.parts(m.vector("finish"))
    colour = m.colour("paint")
    blood = m.ramp(m.noise(canon, 55.0, 3.0, 0.6), 0.42, 0.68)
    colour = m.tint(m.product(blood, dry, 0.75), colour, (1.03, 0.79, 0.76))
    pale = m.ramp(m.noise(canon, 140.0, 2.0), 0.52, 0.75)
    colour = m.tint(m.product(pale, dry, 0.30), colour, (0.90, 0.84, 0.80))
    fine = m.ramp(m.noise(canon, 700.0, 2.0), 0.45, 0.70)
    colour = m.tint(m.product(fine, dry, 0.26), colour, (0.84, 0.71, 0.67))
    colour = _spots(m, canon, colour, freckles, dry)
    crease = m.noise(m.scaled(canon, (1.0, 0.22, 0.22)), 900.0, 3.0, 0.6)
    colour = m.tint(m.product(m.ramp(crease, 0.55, 0.35), lip, 0.45), colour, (0.72, 0.60, 0.60))

    pores = m.cells(canon, 1150.0).outputs["Distance"]
    wrinkled, lined = _wrinkles(m, canon)
    colour = m.tint(m.product(lined, 0.55), colour, (0.82, 0.66, 0.62))
    relief = m.total(
        m.product(m.ramp(pores, 0.0, 0.45), 0.00008),
        m.product(m.noise(m.scaled(canon, (1.0, 1.0, 1.5)), 420.0, 4.0, 0.65), 0.00026),
        m.product(m.noise(canon, 110.0, 2.0), 0.00030),
        wrinkled,
    )
    relief = m.total(
        m.product(relief, dry),
        m.product(crease, 0.00042, lip),
        m.product(m.noise(canon, 400.0, 2.0), 0.0003, wet),
    )
    shine = m.total(rough, m.math("MULTIPLY_ADD", m.noise(canon, 300.0, 2.0), 0.22, -0.11))
    return m.finish(
        m.add(
            "BsdfPrincipled",
            {
                "Base Color": colour, "Roughness": shine, "Specular IOR Level": 0.42, "Normal": m.bump(relief),
                "Subsurface Weight": 1.0, "Subsurface Radius": (1.0, 0.36, 0.20), "Subsurface Scale": 0.0040,
                "Coat Weight": m.product(wet, 0.6), "Coat Roughness": 0.08,
            },
            subsurface_method="BURLEY" if quick else "RANDOM_WALK",
        )
    )  # fmt: skip


def _spots(m: Nodes, canon: Any, colour: Any, freckles: Any, dry: Any) -> Any:
    """Return the colour with freckles and a few moles."""
    spots = m.cells(canon, 470.0)
    chance = m.add("SeparateColor", {0: spots.outputs["Color"]}).outputs[0]
    spot = m.ramp(m.math("SUBTRACT", m.product(chance, 0.36), spots.outputs["Distance"]), -0.16, 0.22)
    colour = m.tint(m.product(spot, m.ramp(chance, 0.35, 0.75), freckles), colour, (0.74, 0.54, 0.42))
    moles = m.cells(canon, 33.0)
    rare = m.add("SeparateColor", {0: moles.outputs["Color"]}).outputs[1]
    mole = m.product(m.ramp(moles.outputs["Distance"], 0.040, 0.024), m.ramp(rare, 0.72, 0.74))
    return m.tint(m.product(mole, dry, 0.75), colour, (0.36, 0.22, 0.16))


def _wrinkles(m: Nodes, canon: Any) -> tuple[Any, Any]:
    """Return the relief of wrinkles, and how deep each point lies in one, 0..1."""
    brow, beside, other = m.parts(m.vector("lines"))
    x, _, z = m.parts(canon)
    x = m.math("ABSOLUTE", x)
    waver = m.product(m.noise(canon, 45.0, 2.0), 9.0)
    gap = m.math("SINE", m.total(m.product(z, _TAU / 0.0085), waver))
    across = m.product(brow, m.ramp(gap, 0.62, 1.0), m.ramp(m.noise(canon, 30.0), 0.30, 0.55))
    corner = m.math("ARCTAN2", m.total(z, -0.0365), m.total(x, -0.040))
    rays = m.math("SINE", m.total(m.product(corner, 15.0), m.product(m.noise(canon, 60.0), 4.0)))
    feet = m.product(beside, m.ramp(rays, 0.45, 1.0))
    fine = m.ramp(m.noise(m.scaled(canon, (0.45, 1.0, 1.6)), 330.0, 3.0, 0.6), 0.52, 0.68)
    depth = m.total(m.product(across, 0.8), m.product(feet, 0.8), m.product(fine, other, 0.6))
    return m.product(depth, -0.00045), depth


def eyeball() -> Material:
    """Return the eye's white and iris, wet."""
    m = Nodes("eyeball")
    return m.finish(
        m.add(
            "BsdfPrincipled",
            {
                "Base Color": m.colour("paint"), "Roughness": 0.35, "Coat Weight": 1.0, "Coat Roughness": 0.06,
                "Subsurface Weight": 0.25, "Subsurface Scale": 0.002, "Subsurface Radius": (1.0, 0.5, 0.4),
                "Coat IOR": 1.34,
            },
        )
    )  # fmt: skip


def flesh() -> Material:
    """Return the wet flesh in the corner of the eye."""
    m = Nodes("flesh")
    return m.finish(
        m.add(
            "BsdfPrincipled",
            {
                "Base Color": m.colour("paint"), "Roughness": 0.30, "Coat Weight": 0.8, "Coat Roughness": 0.10,
                "Subsurface Weight": 0.9, "Subsurface Scale": 0.003, "Subsurface Radius": (1.0, 0.3, 0.2),
            },
        )
    )  # fmt: skip


def tooth() -> Material:
    """Return enamel: ridged, glossy, a little clear."""
    m = Nodes("tooth")
    ridges = m.noise(m.scaled(m.vector("canon"), (1.0, 1.0, 0.35)), 900.0)
    return m.finish(
        m.add(
            "BsdfPrincipled",
            {
                "Base Color": m.colour("paint"), "Roughness": 0.22, "Specular IOR Level": 0.5,
                "Normal": m.bump(m.product(ridges, 0.00008)), "Coat Weight": 0.7, "Coat Roughness": 0.05,
                "Subsurface Weight": 0.8, "Subsurface Scale": 0.0012, "Subsurface Radius": (1.0, 0.85, 0.65),
            },
        )
    )  # fmt: skip


def cornea() -> Material:
    """Return clear glass that lets the light of window and room pass without refraction."""
    m = Nodes("cornea")
    path = m.add("LightPath")
    free = m.math("MAXIMUM", path.outputs["Is Shadow Ray"], path.outputs["Is Diffuse Ray"])
    glass = m.add("BsdfGlass", {"IOR": 1.35, "Roughness": 0.0})
    return m.finish(m.add("MixShader", {0: free, 1: glass, 2: m.add("BsdfTransparent")}))


def film(name: str, ior: float, least: float) -> Material:
    """Return a thin clear layer of which only the gloss shows: a tear, a lens."""
    m = Nodes(name)
    gloss = m.add("BsdfGlossy", {"Roughness": 0.04})
    weight = m.math("MULTIPLY_ADD", m.add("Fresnel", {"IOR": ior}), 0.8, least)
    return m.finish(m.add("MixShader", {0: weight, 1: m.add("BsdfTransparent"), 2: gloss}))


def spectacle_frame() -> Material:
    """Return dark brown acetate."""
    m = Nodes("frame")
    speckle = m.ramp(m.noise(m.add("TexCoord").outputs["Object"], 170.0, 3.0), 0.45, 0.62)
    colour = m.tint(speckle, (0.075, 0.036, 0.018, 1.0), (0.25, 0.22, 0.2))
    return m.finish(m.add("BsdfPrincipled", {"Base Color": colour, "Roughness": 0.16, "Coat Weight": 0.5}))


def cloth(clothes: Clothes) -> Material:
    """Return a knit: rows of loops, folds, fuzz; the cloth ends at the neckline."""
    m = Nodes("cloth")
    canon = m.vector("canon")
    outside, _, _ = m.parts(m.vector("zones"))
    x, _, z = m.parts(canon)
    column = m.math("SINE", m.product(x, 4200.0 / clothes.ribs))
    row = m.math("SINE", m.total(m.product(z, 3400.0 / clothes.ribs), m.product(m.math("ABSOLUTE", column), 1.2)))
    weave = m.product(m.total(m.math("ABSOLUTE", column), m.math("ABSOLUTE", row)), 0.5)
    folds = m.noise(m.scaled(canon, (1.0, 0.6, 0.55)), 15.0, 2.0, 0.4)
    relief = m.total(
        m.product(weave, 0.00030 * clothes.ribs), m.product(folds, 0.012), m.product(m.noise(canon, 2200.0), 0.00016)
    )
    knit = _yarn(m, clothes, canon, weave, relief)
    shown = m.math("GREATER_THAN", outside, 0.0)
    return m.finish(m.add("MixShader", {0: shown, 1: m.add("BsdfTransparent"), 2: knit}))


def collar(clothes: Clothes) -> Material:
    """Return the ribbed rim of a knitted top."""
    m = Nodes("collar")
    along, _, _ = m.parts(m.colour("paint"))
    canon = m.add("TexCoord").outputs["Object"]
    rib = m.math("ABSOLUTE", m.math("SINE", m.product(along, 420.0 / clothes.ribs)))
    relief = m.total(m.product(rib, 0.0009 * clothes.ribs), m.product(m.noise(canon, 2200.0), 0.00018))
    return m.finish(_yarn(m, clothes, canon, rib, relief))


def _yarn(m: Nodes, clothes: Clothes, place: Any, weave: Any, relief: Any) -> Any:
    light = tuple(min(1.15 * value + 0.008, 1.0) for value in clothes.colour)
    tone = m.tint(m.ramp(weave, 0.85, 0.10), (*light, 1.0), (0.50, 0.50, 0.52))
    tone = m.tint(m.product(m.noise(place, 420.0, 3.0), 0.35), tone, (0.75, 0.75, 0.75))
    return m.add(
        "BsdfPrincipled",
        {
            "Base Color": tone, "Roughness": 0.9, "Specular IOR Level": 0.15, "Normal": m.bump(relief),
            "Sheen Weight": 0.08, "Sheen Roughness": 0.4,
        },
    )  # fmt: skip


def hair(name: str, redness: float, rough: float) -> Material:
    """Return hair whose pigment is an attribute of each strand (M. Chiang and others, 2016)."""
    m = Nodes(name)
    return m.finish(
        m.add(
            "BsdfHairPrincipled",
            {
                "Melanin": m.add("Attribute", attribute_name="melanin").outputs["Fac"], "Melanin Redness": redness,
                "Roughness": rough, "Radial Roughness": 1.15 * rough, "IOR": 1.55, "Random Color": 0.06,
                "Random Roughness": 0.1, "Random": m.add("HairInfo").outputs["Random"],
            },
            parametrization="MELANIN",
            model="CHIANG",
        )
    )  # fmt: skip
