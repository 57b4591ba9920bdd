"""An event loop in virtual time, for hours of tasks that only wait."""

import asyncio
import selectors
from typing import Any


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time goes on only when nothing is ready, and then at once to the next timer.

    What another thread does takes no time in it, so nothing that is awaited may need one.
    """

    def __init__(self) -> None:
        self._now_s = 0.0
        selector: Any = selectors.SelectSelector()
        self._look, selector.select = selector.select, self._skip
        super().__init__(selector)

    def time(self) -> float:
        return self._now_s

    def _skip(self, timeout: float | None = None) -> Any:
        self._now_s += timeout or 0.0
        return self._look(0)
