"""Finds a direct path to a peer when one router gives each destination another port.

toxcore's own hole punching guesses neighbours of the ports that it hears of, so ports at random keep it on a
relay. Where DHT nodes see the peer is overheard from the answers that toxcore gets anyway. The side whose
router changes ports opens sockets; one that a probe came in by becomes a door to the peer (Tox.open_door).
toxcore is then asked to look there; that the peer is there, its keys have to prove as ever.
"""

import asyncio
import contextlib
import itertools
import logging
import os
import random
import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..._native.results import Connection
from ..._native.toxcore import Tox
from ...errors import ToxvpnError
from ...wire.ratelimit import RateLimit
from ...wire.reach import punch
from ...wire.reach.mapped import may_be_public
from ...wire.reach.punch import OpenPorts, Views
from ..events import Event, PeerRemoved
from ..node import Node
from ..peer import Peer
from .recovery import Recovery

log = logging.getLogger("toxvpn.tox")

SETTLE_S = 2.0
"""A peer is on a relay for so long first: toxcore's own punching takes less."""
OPEN_S = 5.0
"""Ports stay open for so long; probes come within two seconds."""
ASK_S, ASK_SELDOM_S = 2.0, 60.0
LOOK_AGAIN_S, LOOK_SELDOM_S = 2.0, 20.0
TRY_S, TRY_SELDOM_S = 20.0, 600.0
"""Pauses between questions to one peer, looks for it, and tries: the first, and the longest. Each is twice
the one before. A peer that sees only now where we are answers a later question. A router lets answers in for
30 s and more after it has sent something there."""
AT_ONCE, EVERY_S = 32, 0.04
"""Probes; 800 a second."""
ALL_TRIES_PER_S, ALL_TRIES_AT_ONCE = 1 / 5, 8
"""Of all peers together: a try is a thousand probes to where one seems to be."""
LOOK_S = 5.0
"""toxcore is asked to look at what was found for so long."""
KEEP_S = 60.0
"""A door that leads nowhere is kept for so long."""


class Pause:
    """One that gets longer each time."""

    def __init__(self, first_s: float, longest_s: float) -> None:
        self._first_s, self._longest_s = first_s, longest_s
        self._next_s, self._until_s = first_s, float("-inf")

    def is_over(self, now: float) -> bool:
        return now >= self._until_s

    def begin(self, now: float) -> None:
        self._until_s = now + self._next_s
        self._next_s = min(2 * self._next_s, self._longest_s)

    def reset(self) -> None:
        """The next one is as short as the first."""
        self._next_s = self._first_s


@dataclass(slots=True)
class _Known:
    """What is known of a peer."""

    views: Views = field(default_factory=Views)
    ask: Pause = field(default_factory=lambda: Pause(ASK_S, ASK_SELDOM_S))
    looks: Pause = field(default_factory=lambda: Pause(LOOK_AGAIN_S, LOOK_SELDOM_S))
    tries: Pause = field(default_factory=lambda: Pause(TRY_S, TRY_SELDOM_S))
    opens: RateLimit = field(default_factory=lambda: RateLimit(2 / TRY_S, 1))

    def rest(self) -> None:
        """There is a direct path."""
        self.ask.reset()
        self.looks.reset()
        self.tries.reset()


@dataclass(slots=True)
class _Opening:
    """Sockets that wait for a probe of the peer."""

    peer: Peer
    place: tuple[str, int]
    token: bytes
    until_s: float
    sockets: list[socket.socket] = field(default_factory=list)


@dataclass(slots=True)
class _Door:
    fd: int
    peer: Peer
    place: tuple[str, int]
    found_s: float
    direct_s: float


class Punch:
    """One for each node, for as long as the node lives. `mark`: that of toxcore's sockets (make_tox).

    Where netio's `punch` is not in force, nothing is overheard, and so nothing is tried.
    """

    def __init__(self, node: Node, recovery: Recovery, mark: int = 0) -> None:
        self._node = node
        self._recovery = recovery
        self._mark = mark
        self._loop = asyncio.get_running_loop()
        self._known: dict[bytes, _Known] = {}
        self._all_tries = RateLimit(ALL_TRIES_PER_S, ALL_TRIES_AT_ONCE)
        self._opening: _Opening | None = None
        self._doors: list[_Door] = []
        self._probing: asyncio.TimerHandle | None = None
        node.subscribe(self._on_event)
        node.on_packet_id(punch.PACKET_ID, self._receive)
        node.each_tick.append(self._tick)

    def close(self) -> None:
        """Idempotent. Doors are closed with the handle."""
        self._shut()
        if self._probing is not None:
            self._probing.cancel()

    def _tick(self, now: float) -> None:
        for key, place, (teller, _) in self._node.tox.overheard():
            self._hear(key, place, teller, now)
        if self._opening is not None and now >= self._opening.until_s:
            self._shut()
        for door in list(self._doors):
            self._look_after(door, now)
        for peer in self._node:
            if is_indirect(peer) and now - peer.changed_s >= SETTLE_S:
                self._look(peer, self._of(peer), now)
                self._ask(peer, self._of(peer), now)
            elif is_direct(peer) and peer.public_key in self._known:
                self._of(peer).rest()

    def _hear(self, key: bytes, place: tuple[str, int], teller: str, now: float) -> None:
        for peer in self._node if may_be_public(place[0]) else ():
            if self._recovery.dht_key(peer) == key:
                self._of(peer).views.note(teller, place, now)

    def _of(self, peer: Peer) -> _Known:
        return self._known.setdefault(peer.public_key, _Known())

    def _receive(self, peer: Peer, packet: bytes) -> None:
        opened, known = punch.decode_untrusted(packet), self._of(peer)
        if opened is None or not is_indirect(peer):
            return
        if opened.token is None:
            self._asked(peer, known, self._node.now())
        else:
            self._answered(peer, known, opened.token, self._node.now())

    def _look(self, peer: Peer, known: _Known, now: float) -> None:
        """Both sides do, so that each router has sent something to the other when an address has changed."""
        if known.looks.is_over(now):
            known.looks.begin(now)
            for place in self._recovery.places(peer) | known.views.latest():
                self._recovery.ask_at(peer, place)

    # -- the peer's router changes ports -------------------------------------------------------

    def _ask(self, peer: Peer, known: _Known, now: float) -> None:
        theirs = known.views.mapping(now)
        if theirs is not None and theirs.port is None and known.tries.is_over(now) and known.ask.is_over(now):
            known.ask.begin(now)
            self._node.tox.send_lossy(peer.number, punch.encode(OpenPorts(None)))

    def _answered(self, peer: Peer, known: _Known, token: bytes, now: float) -> None:
        theirs = known.views.mapping(now)
        if theirs is None or theirs.port is not None or self._probing is not None:
            return
        if known.tries.is_over(now) and self._all_tries.take(now):
            known.tries.begin(now)
            self._probe(peer, theirs.host, token, punch.ports_to_try(random.SystemRandom()))

    def _probe(self, peer: Peer, host: str, token: bytes, ports: Iterator[int]) -> None:
        some = list(itertools.islice(ports, AT_ONCE))
        self._probing = None
        with own_socket(self._node.tox) as own_udp, contextlib.suppress(OSError):
            if own_udp is not None and some and is_indirect(peer):
                self._probing = self._loop.call_later(EVERY_S, self._probe, peer, host, token, ports)
                for port in some:
                    send(own_udp, punch.probe(token), (host, port))

    # -- our router changes ports --------------------------------------------------------------

    def _asked(self, peer: Peer, known: _Known, now: float) -> None:
        theirs = known.views.mapping(now)
        if theirs is None or theirs.port is None or self._opening is not None or not known.opens.take(now):
            return
        opening = _Opening(
            peer, (theirs.host, theirs.port), secrets.token_bytes(punch.TOKEN_BYTES), now + OPEN_S
        )
        self._opening = opening
        try:
            self._open(opening)
        except OSError as failure:
            self._shut()
            peer.log(log, logging.DEBUG, "no sockets to find a direct path with: %s", failure.strerror)
        else:
            if opening.sockets:
                self._node.tox.send_lossy(peer.number, punch.encode(OpenPorts(opening.token)))

    def _open(self, opening: _Opening) -> None:
        """Raises OSError."""
        with own_socket(self._node.tox) as own_udp:
            for _ in range(punch.OPEN if own_udp is not None else 0):
                assert own_udp is not None
                one = self._opened(own_udp.family, opening.place)
                opening.sockets.append(one)
                self._loop.add_reader(one, self._on_probe, one)

    def _opened(self, family: int, place: tuple[str, int]) -> socket.socket:
        """A socket for whose port our router has now one that is open for `place`. Raises OSError."""
        one = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            if self._mark:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, self._mark)
            one.bind(("", 0))
            send(one, punch.probe(), place)
        except OSError:
            one.close()
            raise
        return one

    def _on_probe(self, one: socket.socket) -> None:
        opening, now = self._opening, self._node.now()
        assert opening is not None
        with contextlib.suppress(OSError):
            data, (host, port, *_) = one.recvfrom(2048)
            if data == punch.probe(opening.token) and (host.removeprefix("::ffff:"), port) == opening.place:
                opening.sockets.remove(one)
                self._loop.remove_reader(one)
                self._shut()
                self._pass_through(one, opening, now)

    def _shut(self) -> None:
        opening, self._opening = self._opening, None
        for each in opening.sockets if opening is not None else ():
            self._loop.remove_reader(each)
            each.close()

    def _pass_through(self, one: socket.socket, opening: _Opening, now: float) -> None:
        for door in list(self._doors):
            if door.place == opening.place or door.peer is opening.peer:
                self._close(door)
        fd = one.detach()
        if not self._node.tox.open_door(fd, *opening.place):
            os.close(fd)
            return
        opening.peer.log(log, logging.INFO, "found a port of our router for it")
        self._doors.append(_Door(fd, opening.peer, opening.place, now, now))
        self._node.turns.note_activity()
        self._node.turns.turn()

    def _look_after(self, door: _Door, now: float) -> None:
        if is_direct(door.peer):
            door.direct_s = now
        elif now - door.found_s < LOOK_S:
            self._ask_at(door.peer, door.place)
        elif now - door.direct_s >= KEEP_S:
            self._close(door)

    def _ask_at(self, peer: Peer, place: tuple[str, int]) -> None:
        """The peer sees where that comes from, and asks back there (recovery.py)."""
        dht_key = self._recovery.dht_key(peer)
        if dht_key is not None:
            with contextlib.suppress(ToxvpnError):
                self._node.tox.bootstrap(*place, dht_key)

    def _close(self, door: _Door) -> None:
        self._doors.remove(door)
        self._node.tox.close_door(door.fd)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, PeerRemoved):
            self._known.pop(event.peer.public_key, None)
            for door in [door for door in self._doors if door.peer is event.peer]:
                self._close(door)
            if self._opening is not None and self._opening.peer is event.peer:
                self._shut()


def is_direct(peer: Peer) -> bool:
    return peer.connection is Connection.UDP and peer.via is None


def is_indirect(peer: Peer) -> bool:
    """Over a relay, or by way of a friend."""
    return peer.online and not is_direct(peer)


@contextlib.contextmanager
def own_socket(tox: Tox) -> Iterator[socket.socket | None]:
    """toxcore's own UDP socket; None where it has none, as behind a proxy."""
    for fd, datagram in tox.sockets():
        one = socket.socket(fileno=fd)
        try:
            internet = one.family in (socket.AF_INET, socket.AF_INET6)
            if datagram and internet and one.getsockname()[1] == tox.udp_port:
                yield one
                return
        finally:
            one.detach()  # must not close it
    yield None


def send(one: socket.socket, data: bytes, place: tuple[str, int]) -> None:
    """Raises OSError."""
    host, port = place
    one.sendto(data, (f"::ffff:{host}" if one.family == socket.AF_INET6 else host, port))
