"""A DNS server on sockets that are handed to it: UDP, and TCP for what is too long for that (RFC 7766).

In: queries, and the zone as it is at the moment. Out: answers, to this machine alone. What others send is
counted and dropped. Nothing here knows how the sockets were made.
"""

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from functools import partial

from .answer import MAX_TCP_BYTES, MalformedQueryError, answer
from .listen import Source, is_from_here
from .zone import Zone

DATAGRAMS_AT_ONCE = 16
"""Then it is the turn of others in the loop; the rest waits in the socket, which drops what is too much."""
MAX_CONNECTIONS = 16
IDLE_S = 10.0


class DnsDrop(StrEnum):
    """Why a query was dropped."""

    FOREIGN = "dns_foreign"  # from another machine
    MALFORMED = "dns_malformed"
    TOO_MANY = "dns_too_many"  # connections at once


class DnsServer:
    """Serves from `add` until `remove` or `close`; needs a running loop. `drops` counts, by reason."""

    def __init__(
        self, zone: Callable[[], Zone], is_from_here: Callable[[Source], bool] = is_from_here
    ) -> None:
        self.drops: Counter[DnsDrop] = Counter()
        self._zone = zone
        self._is_from_here = is_from_here
        self._loop = asyncio.get_running_loop()
        self._sockets: set[socket.socket] = set()
        self._connections: set[asyncio.Task[None]] = set()

    def add(self, *sockets: socket.socket) -> None:
        """Serves on bound UDP sockets and listening TCP sockets, which are the server's to close now."""
        for each in sockets:
            each.setblocking(False)
            serve = self._serve_udp if each.type == socket.SOCK_DGRAM else self._accept
            self._loop.add_reader(each, partial(serve, each))
            self._sockets.add(each)

    def remove(self, *sockets: socket.socket) -> None:
        for each in sockets:
            self._loop.remove_reader(each)
            self._sockets.discard(each)
            each.close()

    def close(self) -> None:
        self.remove(*self._sockets)
        for each in self._connections:
            each.cancel()

    def _serve_udp(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):  # BlockingIOError; or nobody waits for an answer any more
            for _ in range(DATAGRAMS_AT_ONCE):
                query, source = sock.recvfrom(MAX_TCP_BYTES)
                if (reply := self._reply(query, source, tcp=False)) is not None:
                    sock.sendto(reply, source)

    def _reply(self, query: bytes, source: Source, *, tcp: bool) -> bytes | None:
        if not self._is_from_here(source):
            self.drops[DnsDrop.FOREIGN] += 1
            return None
        try:
            return answer(query, self._zone(), tcp=tcp)
        except MalformedQueryError as malformed:
            self.drops[DnsDrop.MALFORMED] += 1
            return malformed.reply

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, source = listener.accept()
        except OSError:
            return
        if not self._is_from_here(source):
            self.drops[DnsDrop.FOREIGN] += 1
            connection.close()
        elif len(self._connections) >= MAX_CONNECTIONS:
            self.drops[DnsDrop.TOO_MANY] += 1
            connection.close()
        else:
            task = self._loop.create_task(self._serve_tcp(connection, source))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

    async def _serve_tcp(self, connection: socket.socket, source: Source) -> None:
        connection.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=connection)
        try:
            while True:
                async with asyncio.timeout(IDLE_S):
                    query = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
                    reply = self._reply(query, source, tcp=True)
                    if reply is None:
                        return
                    writer.write(len(reply).to_bytes(2, "big") + reply)
                    await writer.drain()
        except (OSError, EOFError, TimeoutError):
            pass
        finally:
            writer.close()
