"""Host names to addresses beside the loop: toxcore's own lookup would block every tunnel.

In: names from bootstrap.py. Out: numeric addresses, called back in the loop.
"""

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import Callable

log = logging.getLogger("toxvpn.names")


class Names:
    """One look-up per name at a time; a failed one is simply asked again in a later round.

    Daemon threads rather than the loop's executor, whose shutdown would wait for a dead resolver.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._pending: set[str] = set()

    def resolve(self, host: str, found: Callable[[list[str]], None]) -> None:
        """Calls `found` in the loop with at most one IPv4 and one IPv6 address; not when there is none."""
        if host not in self._pending:
            self._pending.add(host)
            threading.Thread(
                target=self._look_up, args=(host, found), name=f"dns {host}", daemon=True
            ).start()

    def _look_up(self, host: str, found: Callable[[list[str]], None]) -> None:
        try:
            answers = socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
        except (OSError, UnicodeError) as error:  # no name for the DNS at all
            log.debug("%s is not resolved: %s", host, error)
            answers = []
        first = {family: str(address[0]) for family, _, _, _, address in reversed(answers)}

        def tell() -> None:
            self._pending.discard(host)
            if first:
                found(list(first.values()))

        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(tell)
