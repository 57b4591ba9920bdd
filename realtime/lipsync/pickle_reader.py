"""Reads what a pickle holds without making anything that it names.

A pickle is a program that may call any function. Here its instructions are followed on a stack of plain values alone:
a class or function that it names is kept as its name, and a call of one as the name with its arguments.
"""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

MOST_INSTRUCTIONS = 2_000_000


@dataclass(slots=True, eq=False)
class Named:
    """A class or function by its name, or what a call of it would give.

    Attributes:
        name: ``module.name``.
        arguments: Arguments of the call; ``None`` if it is not called.
        state: Attributes that the object would take; ``None`` without one.
    """

    name: str
    arguments: tuple[Any, ...] | None = None
    state: Any = None


@dataclass(slots=True, eq=False)
class Reference:
    """A persistent id: how a checkpoint refers to the bytes of a tensor."""

    value: Any


class _Mark:
    """Where a list of arguments begins on the stack."""


class _Machine:
    """The stack and the memo of one pickle."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def since_mark(self) -> list[Any]:
        """Take off and return all that lies above the topmost mark."""
        items = []
        while not isinstance(top := self.stack.pop(), _Mark):
            items.append(top)
        return items[::-1]

    def take(self, count: int) -> list[Any]:
        """Take off and return the topmost values."""
        if count > len(self.stack):
            raise IndexError
        values = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return values


def read_pickle(file: BinaryIO) -> Any:
    """Return the value of the next pickle of a file, and leave the file behind it.

    Dictionaries, ordered or not, lists, tuples, sets, numbers and strings are themselves; all else is :class:`Named` or
    :class:`Reference`. A value may hold itself.

    Raises:
        ValueError: If it is no whole pickle, or holds an instruction that no checkpoint needs.
    """
    machine = _Machine()
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
            if opcode.name == "STOP":
                return machine.take(1)[0]
            if opcode.name in _VALUES:
                machine.stack.append(argument)
            else:
                _INSTRUCTIONS[opcode.name](machine, argument)
            if count == MOST_INSTRUCTIONS:
                break
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise ValueError("its pickle is damaged or of an unknown kind") from error
    raise ValueError("its pickle has no end")


def _name(machine: _Machine, argument: Any) -> None:
    machine.stack.append(Named(argument.replace(" ", ".")))


def _name_of_stack(machine: _Machine, _: Any) -> None:
    module, name = machine.take(2)
    machine.stack.append(Named(f"{module}.{name}"))


def _call(machine: _Machine, _: Any) -> None:
    function, arguments = machine.take(2)
    if not isinstance(function, Named) or not isinstance(arguments, tuple):
        raise TypeError
    ordered = function.name == "collections.OrderedDict" and not arguments
    machine.stack.append({} if ordered else Named(function.name, arguments))


def _call_with_keywords(machine: _Machine, argument: Any) -> None:
    machine.take(1)
    _call(machine, argument)


def _give_state(machine: _Machine, _: Any) -> None:
    state = machine.take(1)[0]
    if isinstance(machine.stack[-1], Named):
        machine.stack[-1].state = state  # an ordered dictionary's attributes are left out


def _set_items(machine: _Machine, pairs: list[Any]) -> None:
    target = machine.stack[-1]
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
        if isinstance(target, dict):
            # to hash a tuple of tuples without end would end the process
            target[key if isinstance(key, str | int) else Named("key")] = value


def _append(machine: _Machine, values: list[Any]) -> None:
    if isinstance(machine.stack[-1], list):
        machine.stack[-1].extend(values)


def _dictionary(machine: _Machine, _: Any) -> None:
    pairs = machine.since_mark()
    machine.stack.append({})
    _set_items(machine, pairs)


def _push(make: Callable[[_Machine], Any]) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.stack.append(make(machine))


def _remember(machine: _Machine, argument: Any) -> None:
    machine.memo[len(machine.memo) if argument is None else argument] = machine.stack[-1]


def _recall(machine: _Machine, argument: Any) -> None:
    machine.stack.append(machine.memo[argument])


def _forget(machine: _Machine, _: Any) -> None:
    machine.since_mark()


def _nothing(_: _Machine, __: Any) -> None:
    pass


_VALUES = {
    "INT", "LONG", "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
    "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
}  # fmt: skip
_INSTRUCTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": _nothing,
    "FRAME": _nothing,
    "NONE": _push(lambda _: None),
    "NEWTRUE": _push(lambda _: True),
    "NEWFALSE": _push(lambda _: False),
    "EMPTY_LIST": _push(lambda _: []),
    "EMPTY_DICT": _push(lambda _: {}),
    "EMPTY_SET": _push(lambda _: []),
    "EMPTY_TUPLE": _push(lambda _: ()),
    "MARK": _push(lambda _: _Mark()),
    "LIST": _push(_Machine.since_mark),
    "FROZENSET": _push(_Machine.since_mark),
    "TUPLE": _push(lambda machine: tuple(machine.since_mark())),
    "TUPLE1": _push(lambda machine: tuple(machine.take(1))),
    "TUPLE2": _push(lambda machine: tuple(machine.take(2))),
    "TUPLE3": _push(lambda machine: tuple(machine.take(3))),
    "DICT": _dictionary,
    "SETITEM": lambda machine, _: _set_items(machine, machine.take(2)),
    "SETITEMS": lambda machine, _: _set_items(machine, machine.since_mark()),
    "APPEND": lambda machine, _: _append(machine, machine.take(1)),
    "APPENDS": lambda machine, _: _append(machine, machine.since_mark()),
    "ADDITEMS": lambda machine, _: _append(machine, machine.since_mark()),
    "POP": lambda machine, _: machine.stack.pop(),
    "POP_MARK": _forget,
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
    "PUT": _remember,
    "BINPUT": _remember,
    "LONG_BINPUT": _remember,
    "MEMOIZE": _remember,
    "GET": _recall,
    "BINGET": _recall,
    "LONG_BINGET": _recall,
    "GLOBAL": _name,
    "STACK_GLOBAL": _name_of_stack,
    "PERSID": lambda machine, argument: machine.stack.append(Reference(argument)),
    "BINPERSID": _push(lambda machine: Reference(machine.take(1)[0])),
    "REDUCE": _call,
    "NEWOBJ": _call,
    "NEWOBJ_EX": _call_with_keywords,
    "BUILD": _give_state,
}
