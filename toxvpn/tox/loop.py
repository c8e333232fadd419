"""The event loop of a process that carries packets: asyncio's, on a selector that serves the packet path.

Elsewhere, as in tests, any loop will do: then what could be served early is left to the callbacks.
"""

import asyncio
from collections.abc import Callable

from .._native.wakeups import Early, Selector


class Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.early_selector = Selector()
        super().__init__(self.early_selector)


def add_reader(loop: asyncio.AbstractEventLoop, fd: int, early: Early, call: Callable[[], None]) -> None:
    """As loop.add_reader, but `call` is for what `early`, where the loop can serve it, has left undone."""
    if isinstance(loop, Loop):
        loop.early_selector.serve_early(fd, early)
    loop.add_reader(fd, call)


def remove_reader(loop: asyncio.AbstractEventLoop, fd: int) -> None:
    if isinstance(loop, Loop):
        loop.early_selector.serve_early(fd, None)
    loop.remove_reader(fd)
