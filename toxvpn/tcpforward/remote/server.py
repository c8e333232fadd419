"""The serving side of `-R`: listens for peers that may have it, and carries connections back to them.

In: control streams of peers (`@listen`), and rules. Out: listeners, each as long as its control stream; a
connection to one goes through a stream to the peer's built-in target. The calling side is client.py.

A port that is taken already stays with who has it, unless that listener is only left over: its peer answers
no more, if it is the one that asks, or else has been away for AWAY_S.
"""

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address

from ...tox.node import Node
from ...tox.peer import Peer
from ...wire.jsonlines import LineFaultError
from ...wire.remotelisten import (
    NAME,
    VERSION,
    IPAddress,
    ListenGrant,
    ListenProtocol,
    ListenRefusal,
    ListenRefused,
    ListenRequest,
    passage,
)
from ..budget import DESCRIPTORS, TOO_FEW_DESCRIPTORS
from ..builtin import Builtin, Builtins
from ..caller import Caller
from ..choice import RoadChoice
from ..forwards import ForwardState
from ..listen import Listener
from ..road import Road
from ..spec import Target, join_host_port
from .bound import ListenRefusedError, bind_all, place
from .control import Control
from .rules import ListenRules

log = logging.getLogger("toxvpn.tcpforward")

MAX_LISTENERS = 32
"""Of one peer at once."""
ASK_S = 10.0
"""For the peer to say where to listen."""
PROBE_S = 3.0
"""For the answer of a listener that its own peer wants to replace."""
AWAY_S = 90.0
"""A peer that Tox has not seen for as long gives its ports to others who ask: it may never come back."""


@dataclass(eq=False, slots=True)
class _Held:
    """A listener, and the stream that it lasts as long as."""

    peer: Peer
    control: Control
    caller: Caller
    listener: Listener
    descriptors: int
    addresses: tuple[IPAddress, ...]
    port: int

    def __str__(self) -> str:
        return ", ".join(join_host_port(str(address), self.port) for address in self.addresses)


class RemoteListeners:
    """Those of one node. `may_listen` gives the rules for a public key, and is asked each time.

    `road` carries the streams back.
    """

    def __init__(
        self,
        node: Node,
        road: Road,
        choice: Callable[[Peer], RoadChoice],
        may_listen: Callable[[bytes], ListenRules],
    ) -> None:
        self._node = node
        self._road = road
        self._choice = choice
        self._may_listen = may_listen
        self._held: set[_Held] = set()
        self._let_go: set[Listener] = set()  # with connections that run
        self._controls: Counter[bytes] = Counter()  # by public key

    def offer(self, builtins: Builtins) -> None:
        builtins.offer(NAME, Builtin(VERSION, lambda _: True, "", self._carry))

    def recheck(self) -> None:
        """Ends the listeners that the rules do not allow any more."""
        for held in list(self._held):
            if not all(self._allows(held.peer, address, held.port) for address in held.addresses):
                held.peer.log(log, logging.INFO, "it may not listen on %s any more", held)
                self._end(held)

    async def close(self) -> None:
        """Ends all, and resets the connections that run."""
        for held in list(self._held):
            self._end(held)
        for listener in list(self._let_go):
            await listener.close()

    def states(self) -> list[ForwardState]:
        return [self._state(held) for held in self._held]

    # -- one control stream

    async def _carry(self, peer: Peer, sock: socket.socket) -> None:
        key = peer.public_key
        self._controls[key] += 1
        try:
            with Control(sock) as control:
                await self._serve(peer, control)
        except LineFaultError as fault:
            peer.log(log, logging.WARNING, "bad request to listen: %s", fault)
        finally:
            self._controls[key] -= 1
            self._controls += Counter()  # keeps those that have some

    async def _serve(self, peer: Peer, control: Control) -> None:
        """Raises LineFaultError, OSError."""
        async with asyncio.timeout(ASK_S):
            ask = await control.receive()
        if not isinstance(ask, ListenRequest):
            raise LineFaultError("it does not say where")
        try:
            held = await self._listen(peer, ask, control)
        except ListenRefusedError as refused:
            wanted = ", ".join(join_host_port(str(address), ask.port) for address in ask.addresses)
            peer.log(log, logging.INFO, "refused: to listen on %s: %s", wanted, refused)
            control.send(ListenRefused(refused.refusal))
            return
        try:
            control.send(ListenGrant(held.addresses, held.port))
            peer.log(log, logging.INFO, "it listens here on %s", held)
            await control.until_end()
        finally:
            self._end(held)

    async def _listen(self, peer: Peer, ask: ListenRequest, control: Control) -> _Held:
        """Raises ListenRefusedError."""
        if self._controls[peer.public_key] > MAX_LISTENERS:
            raise ListenRefusedError(ListenRefusal.TOO_MANY, f"it has {MAX_LISTENERS} listeners")
        allowed = tuple(each for each in ask.addresses if self._allows(peer, each, ask.port, ask.protocol))
        if not allowed:
            raise ListenRefusedError(ListenRefusal.NOT_ALLOWED, "allow_listen does not allow it")
        if ask.protocol is not ListenProtocol.TCP:
            raise ListenRefusedError(ListenRefusal.NOT_HERE, f"no {ask.protocol} here")
        for rival in list(self._rivals(allowed, ask.port)):
            if not await self._keeps(rival, peer):
                self._end(rival)
        sockets = bind_all(allowed, ask.port)
        descriptors = len(sockets) + 1  # and one of the control stream
        if not DESCRIPTORS.take(descriptors):
            for sock in sockets:
                sock.close()
            raise ListenRefusedError(ListenRefusal.TOO_MANY, TOO_FEW_DESCRIPTORS)
        held = self._hold(peer, control, ask.to, sockets, descriptors)
        held.listener.start()
        return held

    def _hold(
        self, peer: Peer, control: Control, to: str, sockets: list[socket.socket], descriptors: int
    ) -> _Held:
        caller = Caller(self._node, peer, self._road)
        target = Target(passage(to), VERSION)
        told = f"a connection to peer {peer.short}, which listens here"
        listener = Listener(sockets, partial(caller.carry, target=target, told=told))
        places = [place(sock) for sock in sockets]
        addresses = tuple(ip_address(host) for host, _ in places)
        held = _Held(peer, control, caller, listener, descriptors, addresses, places[0][1])
        self._held.add(held)
        return held

    def _allows(
        self, peer: Peer, address: IPAddress, port: int, protocol: ListenProtocol = ListenProtocol.TCP
    ) -> bool:
        return self._may_listen(peer.public_key).allow(address, port, protocol)

    # -- who has a port

    def _rivals(self, addresses: tuple[IPAddress, ...], port: int) -> Iterator[_Held]:
        """The listeners in the way of one there."""
        for held in self._held:
            if port == held.port and any(_overlap(a, b) for a in addresses for b in held.addresses):
                yield held

    async def _keeps(self, rival: _Held, asking: Peer) -> bool:
        """Whether that listener is not only left over."""
        if rival.peer.public_key == asking.public_key:
            return await rival.control.is_answered(PROBE_S)
        return rival.peer.online or self._node.now() - rival.peer.changed_s < AWAY_S

    # -- the end of a listener

    def _end(self, held: _Held) -> None:
        """Frees its port; connections that run go on. Idempotent."""
        if held not in self._held:
            return
        self._held.discard(held)
        DESCRIPTORS.give(held.descriptors)
        held.listener.stop_listening()
        held.caller.close()
        held.control.end()
        self._let_go = {each for each in (*self._let_go, held.listener) if each.connections}

    def _state(self, held: _Held) -> ForwardState:
        road, why = self._choice(held.peer)
        return ForwardState(
            listen=str(held),
            target=f"peer {held.peer.short}",
            road=road,
            why=why,
            streams=held.listener.connections,
            remote="here",
        )


def _overlap(one: IPAddress, other: IPAddress) -> bool:
    """Whether both cannot have listeners at one port."""
    return one.version == other.version and (one == other or one.is_unspecified or other.is_unspecified)
