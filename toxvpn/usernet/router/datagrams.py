"""UDP to what lies behind: for each flow of a peer a socket inside and one outside, both connected.

In: datagrams that no socket inside waits for, with the addresses they were sent to; out: sockets that do
wait, so that the kernel sorts the next ones. Answers leave from the address that was asked. Flows end by
being idle.
"""

import asyncio
import contextlib
import socket
from ipaddress import ip_address
from struct import unpack_from
from typing import Any

from ..._native.net.datagrams import Gatherer
from ...errors import ToxvpnError
from ...tcpforward.udp.batches import batches, send, take_batches
from ...tcpforward.udp.flows import FlowTable, idle_s
from ...tox.peer import Peer
from ...wire.answers import FlowEnds, Unreachable, datagram_head, unreachable
from .destinations import Protocol, addresses
from .doorkeeper import Admitted, Doorkeeper, Drop, Send, give_descriptors
from .inside import IP_RECVORIGDSTADDR, IPV6_RECVORIGDSTADDR, Inside

MAX_FLOWS = 512
"""Flows of one peer at once."""
COLLECTED = 32
"""Read from a collector before the event loop's other work."""
EXPIRY_S = 5.0
_ORIGINAL = {
    (socket.IPPROTO_IP, IP_RECVORIGDSTADDR): (4, 8),
    (socket.IPPROTO_IPV6, IPV6_RECVORIGDSTADDR): (8, 24),
}
"""Where the address stands in struct sockaddr_in and sockaddr_in6; the port stands at 2 in both."""
_ROOM = socket.CMSG_SPACE(28)


class _Conversation:
    """The two sockets of a flow; `close` once."""

    __slots__ = ("flow", "inside", "outside", "peer_address")

    def __init__(self, flow: FlowEnds, inside: socket.socket, outside: socket.socket) -> None:
        self.flow, self.inside, self.outside = flow, inside, outside
        self.peer_address: tuple[str, int] = inside.getpeername()[:2]


class Datagrams:
    """Works in the running event loop until `close`; the collectors stay `inside`'s."""

    def __init__(self, inside: Inside, doorkeeper: Doorkeeper, send_packet: Send) -> None:
        self._inside = inside
        self._doorkeeper = doorkeeper
        self._send_packet = send_packet
        self._loop = asyncio.get_running_loop()
        self._table: FlowTable[FlowEnds, _Conversation] = FlowTable(MAX_FLOWS)
        self._gatherer = Gatherer()
        self._timer: asyncio.TimerHandle | None = None
        for collector in inside.datagrams:
            self._loop.add_reader(collector, self._collect, collector)

    def close(self) -> None:
        for collector in self._inside.datagrams:
            self._loop.remove_reader(collector)
        if self._timer:
            self._timer.cancel()
        for conversation in list(self._table.values()):
            self._end(conversation)

    def forget(self, peer: Peer) -> None:
        """Ends the flows of a peer that is gone."""
        for conversation in self._table.remove_all(peer):
            self._end(conversation)

    def _collect(self, collector: socket.socket) -> None:
        for _ in range(COLLECTED):
            try:
                count, ancillary, _, source = collector.recvmsg_into([self._gatherer.view], _ROOM)
            except OSError:
                return
            if (flow := _flow(source, ancillary)) is None:
                self._doorkeeper.drops[Drop.MALFORMED] += 1
                continue
            conversation = self._table.use(flow, self._loop.time()) or self._begin(flow, count)
            if conversation is not None:
                self._pass_out(conversation, self._gatherer.view[:count], count)

    def _begin(self, flow: FlowEnds, payload_bytes: int) -> _Conversation | None:
        admitted = self._doorkeeper.admit(Protocol.UDP, flow, datagram_head(flow, payload_bytes))
        if admitted is None or not self._doorkeeper.take_descriptors(self._table.count(admitted.peer)):
            return None
        try:
            conversation = self._open(flow, admitted)
        except (OSError, ToxvpnError):
            give_descriptors()
            self._send_packet(unreachable(flow, datagram_head(flow, payload_bytes), Unreachable.NETWORK))
            return None
        gone = self._table.add(
            flow, admitted.peer, conversation, idle_s(flow.destination_port), self._loop.time()
        )
        if gone is not None:
            self._end(gone)
        self._loop.add_reader(conversation.inside, self._on_inside, conversation)
        self._loop.add_reader(conversation.outside, self._on_outside, conversation)
        if self._timer is None:
            self._timer = self._loop.call_later(EXPIRY_S, self._expire)
        return conversation

    def _open(self, flow: FlowEnds, admitted: Admitted) -> _Conversation:
        """Raises OSError, ToxvpnError."""
        host = addresses(admitted.host, flow.source.version)[0]
        family = socket.AF_INET if flow.source.version == 4 else socket.AF_INET6
        with contextlib.ExitStack() as undo:
            outside = undo.enter_context(socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK))
            outside.connect((host, flow.destination_port))
            inside = undo.enter_context(self._inside.datagram_socket(family))
            inside.bind((str(flow.destination), flow.destination_port))
            inside.connect((str(flow.source), flow.source_port))
            undo.pop_all()
        for sock in (inside, outside):
            take_batches(sock)
        return _Conversation(flow, inside, outside)

    def _on_inside(self, conversation: _Conversation) -> None:
        with contextlib.suppress(ConnectionRefusedError):  # the peer waits for no more
            for batch in batches(conversation.inside, self._gatherer):
                if batch.source[:2] == conversation.peer_address:  # else it came between bind and connect
                    self._table.use(conversation.flow, self._loop.time())
                    self._pass_out(conversation, batch.data, batch.segment_bytes)

    def _on_outside(self, conversation: _Conversation) -> None:
        try:
            for batch in batches(conversation.outside, self._gatherer):
                self._table.use(conversation.flow, self._loop.time())
                with contextlib.suppress(OSError):
                    send(conversation.inside, batch.data, batch.segment_bytes)
        except ConnectionRefusedError:
            self._refuse(conversation.flow)

    def _pass_out(self, conversation: _Conversation, data: memoryview, segment_bytes: int) -> None:
        try:
            send(conversation.outside, data, segment_bytes)
        except ConnectionRefusedError:  # the answer to an earlier one
            self._refuse(conversation.flow)
        except OSError:
            self._doorkeeper.drops[Drop.QUEUE_FULL] += 1

    def _refuse(self, flow: FlowEnds) -> None:
        self._send_packet(unreachable(flow, datagram_head(flow, 0), Unreachable.PORT))

    def _expire(self) -> None:
        for conversation in self._table.expire(self._loop.time()):
            self._end(conversation)
        self._timer = self._loop.call_later(EXPIRY_S, self._expire) if len(self._table) else None

    def _end(self, conversation: _Conversation) -> None:
        for sock in (conversation.inside, conversation.outside):
            self._loop.remove_reader(sock)
            sock.close()
        give_descriptors()


def _flow(source: tuple[Any, ...], ancillary: list[tuple[int, int, bytes]]) -> FlowEnds | None:
    for level, kind, content in ancillary:
        if at := _ORIGINAL.get((level, kind)):
            (port,) = unpack_from("!H", content, 2)
            return FlowEnds(ip_address(source[0]), source[1], ip_address(content[slice(*at)]), port)
    return None
