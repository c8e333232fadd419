"""Pings of what lies behind, by ping sockets outside, which most machines give an ordinary user (icmp(7)).

In: echo requests that have come to the gate; out: requests of our own, and the target's replies for the peer.
"""

import asyncio
import contextlib
import logging
import socket
from struct import pack, unpack_from

from ...tcpforward.udp.flows import ECHO_IDLE_S, FlowTable
from ...tox.peer import Peer
from ...wire.answers import ICMP, ICMPV6, Echo, FlowEnds, echo_reply
from .destinations import Protocol
from .doorkeeper import Doorkeeper, Send, give_descriptors

log = logging.getLogger("toxvpn.usernet")

MAX_FLOWS = 64
"""Series of pings of one peer at once."""
EXPIRY_S = 5.0
_HEADER = "!BBHHH"  # type, code, and the checksum and the identifier, which the kernel fills in; sequence
_REQUEST = {4: 8, 6: 128}
_REPLY = {4: 0, 6: 129}
_SOCKET = {4: (socket.AF_INET, ICMP), 6: (socket.AF_INET6, ICMPV6)}
REPLY_BYTES = 65535


class Echoes:
    """Works in the running event loop until `close`."""

    def __init__(self, doorkeeper: Doorkeeper, send: Send) -> None:
        self._doorkeeper = doorkeeper
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._table: FlowTable[FlowEnds, socket.socket] = FlowTable(MAX_FLOWS)
        self._timer: asyncio.TimerHandle | None = None
        self._told = False

    def close(self) -> None:
        if self._timer:
            self._timer.cancel()
        for sock in list(self._table.values()):
            self._end(sock)

    def forget(self, peer: Peer) -> None:
        """Ends the series of a peer that is gone."""
        for sock in self._table.remove_all(peer):
            self._end(sock)

    def on_echo(self, echo: Echo) -> None:
        sock = self._table.use(echo.flow, self._loop.time()) or self._begin(echo)
        if sock is not None:
            request = pack(_HEADER, _REQUEST[echo.flow.source.version], 0, 0, 0, echo.sequence)
            with contextlib.suppress(OSError):
                sock.send(request + echo.payload)

    def _begin(self, echo: Echo) -> socket.socket | None:
        admitted = self._doorkeeper.admit(Protocol.ICMP, echo.flow, echo.packet)
        if admitted is None or not self._doorkeeper.take_descriptors(self._table.count(admitted.peer)):
            return None
        try:
            sock = _ping_socket(echo.flow.source.version, admitted.host)
        except OSError as error:
            give_descriptors()
            if isinstance(error, PermissionError):
                self._tell()
            return None
        if (
            gone := self._table.add(echo.flow, admitted.peer, sock, ECHO_IDLE_S, self._loop.time())
        ) is not None:
            self._end(gone)
        self._loop.add_reader(sock, self._on_reply, sock, echo.flow)
        if self._timer is None:
            self._timer = self._loop.call_later(EXPIRY_S, self._expire)
        return sock

    def _tell(self) -> None:
        if not self._told:
            self._told = True
            log.info(
                "peers get no answers to pings of what lies behind this machine: the sysctl "
                "net.ipv4.ping_group_range does not name this user's group"
            )

    def _on_reply(self, sock: socket.socket, flow: FlowEnds) -> None:
        with contextlib.suppress(OSError):
            reply = sock.recv(REPLY_BYTES)
            kind, _, _, _, sequence = unpack_from(_HEADER, reply)
            if kind == _REPLY[flow.source.version]:
                self._send(echo_reply(flow, sequence, reply[8:]))

    def _expire(self) -> None:
        for sock in self._table.expire(self._loop.time()):
            self._end(sock)
        self._timer = self._loop.call_later(EXPIRY_S, self._expire) if len(self._table) else None

    def _end(self, sock: socket.socket) -> None:
        self._loop.remove_reader(sock)
        sock.close()
        give_descriptors()


def _ping_socket(version: int, host: str) -> socket.socket:
    """Raises OSError; PermissionError where this user may not have one."""
    family, protocol = _SOCKET[version]
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, protocol)
    try:
        sock.connect((host, 0))
    except BaseException:
        sock.close()
        raise
    return sock
