"""The serving side of `-R`: listens for peers that may have it, and carries connections back to them.

In: control streams of peers (`@listen`), and rules. Out: listeners, each as long as its control stream; a
connection to one goes through a stream to the peer's built-in target. The calling side is client.py.

A port that is taken already stays with who has it, unless that listener is only left over: its peer answers
no more, if it is the one that asks, or else has been away for AWAY_S.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import ip_address

from ...errors import ToxvpnError
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
from ...wire.toxid import short_key
from ..budget import DESCRIPTORS, TOO_FEW_DESCRIPTORS
from ..builtin import Builtin, Builtins
from ..caller import Caller
from ..choice import RoadChoice
from ..forwards import ForwardState
from ..listen import Listener
from ..road import Road
from ..spec import Target, Transport
from ..udp.listener import DatagramListener
from .bound import ListenRefusedError, bind_all, bind_path, place
from .control import Control
from .rules import ListenRules
from .spec import RemoteListen

log = logging.getLogger("toxvpn.tcpforward")

MAX_LISTENERS = 32
"""Of one peer at once."""
ASK_S = 10.0
"""For the peer to say where to listen."""
PROBE_S = 3.0
"""For the answer of a listener that its own peer wants to replace."""
AWAY_S = 90.0
"""A peer that Tox has not seen for as long gives its ports to others who ask: it may never come back."""


@dataclass(frozen=True, slots=True)
class _Way(Target):
    """The peer's built-in target for one listener."""

    told: str = ""

    def __str__(self) -> str:
        return self.told


@dataclass(eq=False, slots=True)
class _Held:
    """A listener, and the stream that it lasts as long as."""

    peer: Peer
    control: Control
    caller: Caller
    listener: Listener | DatagramListener
    descriptors: int
    place: RemoteListen

    def __str__(self) -> str:
        return str(self.place)


class RemoteListeners:
    """Those of one node. `may_listen` gives the rules for a public key, and is asked each time.

    `road` carries the streams back; `called` is how a person calls a peer.
    """

    def __init__(
        self,
        node: Node,
        road: Road,
        choice: Callable[[Peer], RoadChoice],
        may_listen: Callable[[bytes], ListenRules],
        called: Callable[[bytes], str] = short_key,
    ) -> None:
        self._node = node
        self._road = road
        self._choice = choice
        self._may_listen = may_listen
        self._called = called
        self._held: set[_Held] = set()
        self._let_go: set[Listener | DatagramListener] = set()  # with connections that run

    def offer(self, builtins: Builtins) -> None:
        builtins.offer(NAME, Builtin(VERSION, lambda _: True, "", self._carry))

    def recheck(self) -> None:
        """Ends the listeners that the rules do not allow any more."""
        for held in list(self._held):
            if self._allowed(held.peer, held.place) != held.place:
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
        try:
            with Control(sock) as control:
                await self._serve(peer, control)
        except LineFaultError as fault:
            peer.log(log, logging.WARNING, "bad request to listen: %s", fault)

    async def _serve(self, peer: Peer, control: Control) -> None:
        """Raises LineFaultError, OSError."""
        async with asyncio.timeout(ASK_S):
            ask = await control.receive()
        if not isinstance(ask, ListenRequest):
            raise LineFaultError("it does not say where")
        try:
            held = await self._listen(peer, ask, control)
        except ListenRefusedError as refused:
            peer.log(log, logging.INFO, "refused: to listen on %s: %s", _wanted(ask), refused)
            control.send(ListenRefused(refused.refusal))
            return
        try:
            control.send(ListenGrant(held.place.addresses, held.place.port, held.place.path))
            peer.log(log, logging.INFO, "it listens here on %s", held)
            await control.until_end()
        finally:
            self._end(held)

    async def _listen(self, peer: Peer, ask: ListenRequest, control: Control) -> _Held:
        """Raises ListenRefusedError."""
        wanted = self._allowed(peer, _wanted(ask))
        if wanted is None:
            raise ListenRefusedError(ListenRefusal.NOT_ALLOWED, "allow_listen does not allow it")
        for rival in list(self._rivals(wanted)):
            if not await self._keeps(rival, peer):
                self._end(rival)
        caller = Caller(self._node, peer, self._road)
        try:
            if wanted.transport is Transport.UDP:
                await _check_fast(caller)
            if sum(held.peer.public_key == peer.public_key for held in self._held) >= MAX_LISTENERS:
                raise ListenRefusedError(ListenRefusal.TOO_MANY, f"it has {MAX_LISTENERS} listeners")
            sockets = _bind(wanted)  # nothing waits from here on: others may ask meanwhile
        except BaseException:
            caller.close()
            raise
        descriptors = len(sockets)
        if not DESCRIPTORS.take(descriptors):
            caller.close()
            for sock in sockets:
                sock.close()
            raise ListenRefusedError(ListenRefusal.TOO_MANY, TOO_FEW_DESCRIPTORS)
        there = _place_of(sockets, wanted)
        way = _Way(passage(ask.to), VERSION, told=f"peer {peer.short}, which listens on {there}")
        held = _Held(peer, control, caller, _listener(sockets, caller, way), descriptors, there)
        self._held.add(held)
        held.listener.start()
        return held

    def _allowed(self, peer: Peer, wanted: RemoteListen) -> RemoteListen | None:
        """As much of that as it may have us listen on; None: nothing."""
        rules, protocol = self._may_listen(peer.public_key), ListenProtocol(wanted.transport)
        if wanted.path is not None:
            return wanted if rules.allow_path(wanted.path) else None
        addresses = tuple(each for each in wanted.addresses if rules.allow(each, wanted.port, protocol))
        return replace(wanted, addresses=addresses) if addresses else None

    # -- who has a port

    def _rivals(self, wanted: RemoteListen) -> Iterator[_Held]:
        """The listeners in the way of that one."""
        for held in self._held:
            there = held.place
            one_place = (there.path, there.transport, there.port) == (
                wanted.path,
                wanted.transport,
                wanted.port,
            )
            if one_place and (
                wanted.path is not None
                or any(_overlap(one, other) for one in wanted.addresses for other in there.addresses)
            ):
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
            target=f"peer {self._called(held.peer.public_key)}",
            road=road,
            why=why,
            streams=held.listener.connections,
            remote="here",
            drops=held.listener.drops,
        )


def _overlap(one: IPAddress, other: IPAddress) -> bool:
    """Whether both cannot have listeners at one port."""
    return one.version == other.version and (one == other or one.is_unspecified or other.is_unspecified)


def _wanted(ask: ListenRequest) -> RemoteListen:
    return RemoteListen(ask.addresses, ask.port, Transport(ask.protocol), ask.path)


def _bind(wanted: RemoteListen) -> list[socket.socket]:
    """Raises ListenRefusedError."""
    if wanted.path is not None:
        return [bind_path(wanted.path)]
    return bind_all(wanted.addresses, wanted.port, wanted.transport)


def _place_of(sockets: list[socket.socket], wanted: RemoteListen) -> RemoteListen:
    if wanted.path is not None:
        return wanted
    places = [place(sock) for sock in sockets]
    return RemoteListen(tuple(ip_address(host) for host, _ in places), places[0][1], wanted.transport)


def _listener(sockets: list[socket.socket], caller: Caller, target: Target) -> Listener | DatagramListener:
    if sockets[0].type == socket.SOCK_STREAM:
        return Listener(sockets, partial(caller.carry, target=target))
    listener = DatagramListener(sockets)
    listener.aim(caller, target)
    return listener


async def _check_fast(caller: Caller) -> None:
    """Raises ListenRefusedError."""
    try:
        await caller.fast_road()
    except ToxvpnError as failure:
        raise ListenRefusedError(ListenRefusal.NO_FAST_ROAD, str(failure)) from None
