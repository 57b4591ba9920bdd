"""The table of private names is true of the installed libraries, and whole."""

import ast
import inspect
import re
from pathlib import Path

import pytest

from lipstream.realtime.rtc.aiortc_patches import private_names
from lipstream.realtime.rtc.aiortc_patches.private_names import PRIVATE_NAMES, PrivateName

FOLDER = Path(private_names.__file__).parent
MANGLED = re.compile(r"_[A-Z]\w*?(__\w+)")


def _is_there(owner: type, name: str) -> bool:
    mangled = f"_{owner.__name__}{name}" if name.startswith("__") else name
    sources = [inspect.getsource(cls) for cls in owner.__mro__[:-1] if cls.__module__ != "builtins"]
    return hasattr(owner, mangled) or any(re.search(rf"\bself\.{name}\b", source) for source in sources)


def _used(tree: ast.Module) -> set[str]:
    """Return the private names of other objects that a module uses, as their own classes write them."""
    nodes = list(ast.walk(tree))
    own = {n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
    own |= {n.target.id for n in nodes if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)}
    own |= {
        n.attr
        for n in nodes
        if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store) and ast.unparse(n.value) == "self"
    }
    used = {n.attr for n in nodes if isinstance(n, ast.Attribute) and re.match(r"_[^_]", n.attr)}
    used |= {n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)} & {"_sock"}
    return {
        found[1] if (found := MANGLED.fullmatch(name)) else name
        for name in used
        if MANGLED.fullmatch(name) or name not in own
    }


@pytest.mark.parametrize("private", PRIVATE_NAMES, ids=lambda one: f"{one.owner.__name__}.{one.name}")
def test_each_name_is_still_there(private: PrivateName) -> None:
    assert _is_there(private.owner, private.name)
    assert private.why
    assert private.upstream


def test_a_name_that_is_gone_is_missed() -> None:
    assert not _is_there(PRIVATE_NAMES[0].owner, "__noSuchName")


def test_no_other_name_is_used() -> None:
    known = {private.name for private in PRIVATE_NAMES}
    unknown = {
        f"{path.name}: {name}" for path in FOLDER.glob("*.py") for name in _used(ast.parse(path.read_text())) - known
    }
    assert not unknown
