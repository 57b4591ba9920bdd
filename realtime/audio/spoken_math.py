r"""Turns formulas in LaTeX into the signs that a person reads: ``$\frac{a}{b} \le x^2$`` into ``a / b ≤ x²``.

Formulas stand in ``$…$``, ``$$…$$``, ``\(…\)`` and ``\[…\]``. A dollar is a currency unless what follows looks like
a formula. No letter or digit of a formula is lost but those of the commands that stand for a sign or for layout.
"""

import re

_INLINE = r"(?<![\w$\\])\$(?=[^\s$])([^$]*[^\s$\\])\$(?![\w$])"
_FORMULA = re.compile(rf"\$\$([^$]+)\$\$|{_INLINE}|\\\(((?:[^\\]|\\[^()\[\]])*)\\\)|\\\[((?:[^\\]|\\[^()\[\]])*)\\\]")
_LOOKS_LIKE_ONE = re.compile(r"[\\^_=]|[^\W\d_]\Z(?<=^.)|^[^\W\d_] ?[-+*/<>] ?\w$")
_COMMAND = re.compile(r"\\([a-zA-Z]+)\*?|\\([^a-zA-Z])")
_FRACTION = re.compile(r"\\[dt]?frac ?\{([^{}]*)\} ?\{([^{}]*)\}")
_SCRIPT = re.compile(r"([\^_])(?:\{([^{}]*)\}|(\w))")
_SIGNS = {
    "times": "×", "cdot": "·", "div": "÷", "pm": "±", "mp": "∓", "le": "≤", "leq": "≤", "ge": "≥", "geq": "≥",
    "ne": "≠", "neq": "≠", "approx": "≈", "equiv": "≡", "sim": "~", "propto": "∝", "infty": "∞", "sum": "∑",
    "prod": "∏", "int": "∫", "partial": "∂", "nabla": "∇", "sqrt": "√", "in": "∈", "notin": "∉", "subset": "⊂",
    "cup": "∪", "cap": "∩", "to": "→", "rightarrow": "→", "Rightarrow": "⇒", "ldots": "…", "dots": "…", "cdots": "…",
    "degree": "°", "circ": "°", "percent": "%",
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "varepsilon": "ε", "zeta": "ζ", "eta": "η",
    "theta": "θ", "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "pi": "π", "rho": "ρ", "sigma": "σ",
    "tau": "τ", "phi": "φ", "varphi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω", "Gamma": "Γ", "Delta": "Δ",
    "Theta": "Θ", "Lambda": "Λ", "Xi": "Ξ", "Pi": "Π", "Sigma": "Σ", "Phi": "Φ", "Psi": "Ψ", "Omega": "Ω",
}  # fmt: skip
_LAYOUT = frozenset(
    "left right big Big bigg Bigg displaystyle textstyle text textbf textit textrm mathrm mathbf mathit mathsf mathcal "
    "mathbb boldsymbol operatorname boxed quad qquad limits nolimits nonumber hspace vspace label hline middle".split()
)
_ENVIRONMENT = re.compile(r"\\(?:begin|end) ?\{[a-zA-Z]*\*?\}")
_RAISED, _LOWERED = (str.maketrans("0123456789+-=()", digits) for digits in ("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎"))


def spoken_formulas(text: str) -> str:
    """Return a line with its formulas as signs; text without any is returned as it is."""
    return _FORMULA.sub(_formula, text) if "$" in text or "\\" in text else text


def _formula(found: "re.Match[str]") -> str:
    latex = next(part for part in found.groups() if part is not None)
    if found[2] is not None and not _LOOKS_LIKE_ONE.search(latex):
        return found[0]
    before = found.string[: found.start()][-1:]
    return f" {_signs(latex)}" if before.isalnum() else _signs(latex)


def _signs(latex: str) -> str:
    text = _ENVIRONMENT.sub(" ", latex)
    text = _FRACTION.sub(r"\1 / \2", _FRACTION.sub(r"\1 / \2", text))
    text = _SCRIPT.sub(_script, _COMMAND.sub(_command, text))
    return " ".join(text.replace("{", "").replace("}", "").replace("&", " ").split())


def _command(found: "re.Match[str]") -> str:
    """Return the sign of a command; nothing for one of layout, the name of any other."""
    name, mark = found[1], found[2]
    if name is None:
        return mark if mark in "{}%$#&_" else " "
    return _SIGNS.get(name, "" if name in _LAYOUT else f" {name} ")


def _script(found: "re.Match[str]") -> str:
    """Return an exponent or index of digits as small digits, another one behind a blank."""
    text = found[2] if found[2] is not None else found[3]
    small = text.translate(_RAISED if found[1] == "^" else _LOWERED)
    return small if text and not set(text) - set("0123456789+-=()") else f" {text} "
