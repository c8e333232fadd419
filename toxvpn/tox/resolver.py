"""Host names to addresses beside the loop: toxcore's own lookup would block every tunnel.

`look_up` asks the system's resolver. `Names` is for bootstrap.py: names in, numeric addresses out, by a
callback in the loop.
"""

import asyncio
import contextlib
import errno
import logging
import socket
import threading
from collections.abc import Callable
from typing import Any

log = logging.getLogger("toxvpn.names")

AddressInfos = list[Any]
"""The result of `socket.getaddrinfo`, with port 0."""
Ask = Callable[[str, socket.SocketKind], AddressInfos]
"""Raises OSError, as getaddrinfo does; called in a thread."""


def look_up(
    loop: asyncio.AbstractEventLoop,
    host: str,
    kind: socket.SocketKind,
    on_answer: Callable[[AddressInfos, OSError | None], None],
    ask: Ask | None = None,
) -> None:
    """Calls `on_answer` in the loop, once, with what getaddrinfo found or with the error it raised.

    `ask` takes its place.

    A call of getaddrinfo cannot be cancelled, so each has a daemon thread: the loop's executor would
    wait for a dead resolver when it is shut down.
    """

    def work() -> None:
        found: AddressInfos = []
        failure = None
        try:
            found = ask(host, kind) if ask else socket.getaddrinfo(host, None, type=kind)
        except OSError as error:
            failure = error
        except Exception as error:  # such as the idna codec's UnicodeError
            failure = OSError(errno.EINVAL, str(error))
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(on_answer, found, failure)

    try:
        threading.Thread(target=work, name=f"look up {host}", daemon=True).start()
    except RuntimeError as error:  # this user, or the machine, has too many threads
        loop.call_soon(on_answer, [], OSError(errno.EAGAIN, str(error)))


class Names:
    """One look-up per name at a time; a failed one is simply asked again in a later round."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ask: Ask | None = None) -> None:
        self._loop = loop
        self._ask = ask
        self._pending: set[str] = set()

    def resolve(self, host: str, found: Callable[[list[str]], None]) -> None:
        """Calls `found` in the loop with at most one IPv4 and one IPv6 address; not when there is none."""

        def on_answer(answers: AddressInfos, failure: OSError | None) -> None:
            self._pending.discard(host)
            if failure is not None:
                log.debug("%s is not resolved: %s", host, failure)
            if answers:
                first = {family: str(address[0]) for family, _, _, _, address in reversed(answers)}
                found(list(first.values()))

        if host not in self._pending:
            self._pending.add(host)
            look_up(self._loop, host, socket.SOCK_DGRAM, on_answer, self._ask)
