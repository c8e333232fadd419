"""Shows a progress line on a terminal while peers are waited for, and removes it when all are reached.

In: the node, and the peers that are wanted. Out: one line on stderr, rewritten in place below the log. Only
on a terminal that gets the log: not with -q, and not with -d, where the log itself says more.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TextIO

from .._native.net import netio
from .._native.results import Connection
from ..tox.node import Node
from ..tox.peer import Peer

log = logging.getLogger("toxvpn")

Wanted = Callable[[], Mapping[bytes, str]]
"""Returns the peers that are waited for now: their names for people, by public key."""

REFRESH_S = 0.5
PATIENCE_S = 10.0
"""After waiting this long the line shows for how long."""
MAX_NAMES = 3
CLEAR = "\r\x1b[K"


@contextlib.contextmanager
def progress(node: Node, wanted: Wanted) -> Iterator[None]:
    """Shows the line inside the `with`, if there is a terminal for it."""
    stream = terminal()
    if stream is None:
        yield
        return
    line = ProgressLine(node, wanted, stream)
    try:
        yield
    finally:
        line.close()


def terminal() -> TextIO | None:
    """The terminal that gets the log, if there is one and the log is at its usual level."""
    if not log.isEnabledFor(logging.INFO) or log.isEnabledFor(logging.DEBUG):
        return None
    for handler in log.handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream.isatty():
            stream: TextIO = handler.stream
            return None if os.environ.get("TERM") == "dumb" else stream
    return None


def describe_wait(node: Node, wanted: Mapping[bytes, str], received: bool) -> str | None:
    """Describes what is awaited; None when nothing is. `received`: some node has answered over UDP."""
    if node.connection is Connection.NONE:
        return "announcing this machine in the Tox network" if received else "asking the bootstrap nodes"
    peers = {peer.public_key: peer for peer in node}
    missing = [
        name for key, name in wanted.items() if not _is(peers.get(key), Connection.UDP, Connection.TCP)
    ]
    if missing:
        how = "" if node.connection is Connection.UDP else " over TCP relays (UDP does not get through)"
        return f"looking for {join_names(missing)}{how}"
    relayed = [name for key, name in wanted.items() if _is(peers.get(key), Connection.TCP)]
    return f"{join_names(relayed)}: over a relay, looking for a direct path" if relayed else None


def _is(peer: Peer | None, *connections: Connection) -> bool:
    return peer is not None and peer.connection in connections


def join_names(names: Iterable[str]) -> str:
    listed = sorted(names)
    more = len(listed) - MAX_NAMES
    return ", ".join(listed[:MAX_NAMES]) + (f" and {more} more" if more > 0 else "")


class ProgressLine(logging.Handler):
    """The line. As the first of the log's handlers it removes the line before a record is written."""

    def __init__(self, node: Node, wanted: Wanted, stream: TextIO) -> None:
        super().__init__()
        self._node = node
        self._wanted = wanted
        self._stream = stream
        self._loop = asyncio.get_running_loop()
        self._shown = ""
        self._words: str | None = None
        self._since_s = node.now()
        self._timer: asyncio.TimerHandle | None = None
        log.handlers.insert(0, self)
        self._refresh()

    def emit(self, record: logging.LogRecord) -> None:
        self._show("")

    def close(self) -> None:
        """Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
        log.removeHandler(self)
        self._show("")
        super().close()

    def _refresh(self) -> None:
        self._timer = self._loop.call_later(REFRESH_S, self._refresh)
        words = describe_wait(self._node, self._wanted(), netio.counters()["received"] > 0)
        now = self._node.now()
        if words != self._words:
            self._words, self._since_s = words, now
        waited_s = now - self._since_s
        if words is None:
            self._show("")
        elif waited_s < PATIENCE_S:
            self._show(f"{words} …")
        else:
            self._show(f"{words} … ({waited_s:.0f} s)")

    def _show(self, line: str) -> None:
        if line == self._shown:
            return
        self._shown = line
        with contextlib.suppress(OSError, ValueError):  # the terminal was closed
            columns = os.get_terminal_size(self._stream.fileno()).columns or 80
            self._stream.write(CLEAR + line[: columns - 1])
            self._stream.flush()
