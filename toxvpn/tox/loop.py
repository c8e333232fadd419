"""The event loop of a process that carries packets: asyncio's, on a selector that serves the packet path.

Any other loop works too, as in tests: then the callbacks do what the selector would have done.
"""

import asyncio
from collections.abc import Callable

from .._native.wakeups import Early, Selector


class Loop(asyncio.SelectorEventLoop):
    """asyncio's loop on wakeups.Selector."""

    def __init__(self) -> None:
        self.early_selector = Selector()
        super().__init__(self.early_selector)


def add_reader(loop: asyncio.AbstractEventLoop, fd: int, early: Early, call: Callable[[], None]) -> None:
    """As loop.add_reader, but a Loop serves `early` first, and `call` does what it has left undone."""
    if isinstance(loop, Loop):
        loop.early_selector.serve_early(fd, early)
    loop.add_reader(fd, call)


def remove_reader(loop: asyncio.AbstractEventLoop, fd: int) -> None:
    """Undoes add_reader."""
    if isinstance(loop, Loop):
        loop.early_selector.serve_early(fd, None)
    loop.remove_reader(fd)
