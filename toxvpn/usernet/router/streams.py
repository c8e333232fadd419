"""TCP to what lies behind: a SYN of a peer in, a relay between a socket inside and one outside.

The target is reached first. Only then is the SYN let in, and the kernel's handshake with the peer done: so a
peer is told of a refusal as the target itself would tell it. From there on `Relay` moves the bytes, with
half-close and reset.
"""

import asyncio
import socket
from collections import Counter
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address

from ...tcpforward.ends import SocketEnd
from ...tcpforward.listen import Listener, reset
from ...tcpforward.relay import Relay
from ...tcpforward.target import TargetRefusedError, connect_first
from ...tox.peer import Peer
from ...wire import answers
from ...wire.answers import FlowEnds, Opening, Unreachable
from ...wire.socks5 import ReplyCode
from .destinations import Protocol, addresses
from .doorkeeper import Doorkeeper, Drop, Send, give_descriptors

MAX_STREAMS = 2048
"""Streams of one peer at once, as on the fast road."""
ACCEPT_S = 20.0
"""Time for the peer to answer our SYN-ACK: it sent its SYN a moment ago."""

_UNREACHABLE = {
    ReplyCode.NOT_ALLOWED: Unreachable.PROHIBITED,
    ReplyCode.NETWORK_UNREACHABLE: Unreachable.NETWORK,
    ReplyCode.HOST_UNREACHABLE: Unreachable.HOST,
}


@dataclass(slots=True)
class _Waiting:
    """A target that is connected, while the peer is not yet."""

    peer: Peer
    outside: SocketEnd
    deadline: asyncio.TimerHandle


class Streams:
    """Takes over `listeners`; serves from construction until `close`."""

    def __init__(
        self, listeners: list[socket.socket], relay: Relay, doorkeeper: Doorkeeper, send: Send
    ) -> None:
        self._relay = relay
        self._doorkeeper = doorkeeper
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._connecting: dict[FlowEnds, tuple[Peer, asyncio.Task[socket.socket]]] = {}
        self._waiting: dict[FlowEnds, _Waiting] = {}
        self._held: Counter[bytes] = Counter()  # streams by public key
        self._listener = Listener(listeners, self._carry)
        self._listener.start()

    async def close(self) -> None:
        """Resets the streams that run."""
        tasks = [task for _, task in self._connecting.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for flow in list(self._waiting):
            self._give_up(flow)
        await self._listener.close()

    def forget(self, peer: Peer) -> None:
        """Resets the streams of a peer that is gone."""
        for owner, task in self._connecting.values():
            if owner is peer:
                task.cancel()
        for flow in [flow for flow, waiting in self._waiting.items() if waiting.peer is peer]:
            self._give_up(flow)
        self._relay.reset(peer, "the peer is gone")

    def on_opening(self, opening: Opening) -> None:
        if opening.flow in self._connecting:
            return  # the peer repeats it
        admitted = self._doorkeeper.admit(Protocol.TCP, opening.flow, opening.packet)
        if admitted is None:
            return
        if opening.flow in self._waiting:
            self._send(opening.packet)
            return
        held = self._held[admitted.peer.public_key]
        if held >= MAX_STREAMS or not self._doorkeeper.take_descriptors(held):
            if held >= MAX_STREAMS:
                self._doorkeeper.drops[Drop.TOO_MANY] += 1
            self._send(answers.reset(opening))
            return
        self._held[admitted.peer.public_key] += 1
        hosts = addresses(admitted.host, opening.flow.source.version)
        task = asyncio.create_task(connect_first(hosts, opening.flow.destination_port))
        self._connecting[opening.flow] = admitted.peer, task
        task.add_done_callback(partial(self._on_reached, opening, admitted.peer))

    def _on_reached(self, opening: Opening, peer: Peer, task: asyncio.Task[socket.socket]) -> None:
        """Lets the SYN in, or answers it."""
        del self._connecting[opening.flow]
        try:
            outside = task.result()
        except TargetRefusedError as refusal:
            self._refuse(opening, refusal.code)
            self._done(peer)
        except asyncio.CancelledError:
            self._done(peer)
        else:
            outside.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            deadline = self._loop.call_later(ACCEPT_S, self._give_up, opening.flow)
            self._waiting[opening.flow] = _Waiting(peer, SocketEnd(outside), deadline)
            self._send(opening.packet)

    def _refuse(self, opening: Opening, code: ReplyCode) -> None:
        """As the target, or the network on the way to it, would: no answer in time is no answer."""
        if reason := _UNREACHABLE.get(code):
            self._send(answers.unreachable(opening.flow, opening.packet, reason))
        elif code is not ReplyCode.TIMED_OUT:
            self._send(answers.reset(opening))

    async def _carry(self, inside: socket.socket) -> None:
        """Serves a connection that was let in, from accept to its last byte."""
        flow = _flow(inside)
        waiting = self._waiting.pop(flow, None) if flow else None
        if waiting is None:  # not through the gate, or too late
            reset(inside)
            return
        waiting.deadline.cancel()
        give_descriptors()  # the listener has taken its own
        try:
            await self._relay.join(SocketEnd(inside), waiting.outside, owner=waiting.peer)
        finally:
            self._release(waiting.peer)

    def _give_up(self, flow: FlowEnds) -> None:
        waiting = self._waiting.pop(flow)
        waiting.deadline.cancel()
        waiting.outside.close(clean=False)
        self._done(waiting.peer)

    def _done(self, peer: Peer) -> None:
        give_descriptors()
        self._release(peer)

    def _release(self, peer: Peer) -> None:
        self._held[peer.public_key] -= 1
        if not self._held[peer.public_key]:
            del self._held[peer.public_key]


def _flow(inside: socket.socket) -> FlowEnds | None:
    try:
        source, destination = inside.getpeername(), inside.getsockname()
    except OSError:  # it is gone
        return None
    return FlowEnds(ip_address(source[0]), source[1], ip_address(destination[0]), destination[1])
