"""The side of UDP forwards that has the targets: for each association of a peer a socket on our private stack
and one to the target, both connected.

In: requests on a control stream, and datagrams that come through Tox; out: datagrams to targets that the
peer may reach, and their answers. Neighbour: asker.py is the other side.
"""

import asyncio
import contextlib
import logging
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from typing import Protocol
from weakref import WeakKeyDictionary

from ..._native.net.datagrams import Gatherer
from ...errors import ToxvpnError
from ...tox.peer import Peer
from ...wire.addressing import overlay_ipv6
from ...wire.associations import (
    VERSION,
    Associate,
    Associated,
    AssociationEnded,
    Message,
)
from ...wire.jsonlines import LineFaultError
from ...wire.socks5 import ReplyCode
from ..budget import DESCRIPTORS, TOO_FEW_DESCRIPTORS
from ..builtin import Builtin
from ..fast.road import FastRoad
from ..server import NOTHING_FOR_IT
from ..target import Address, TargetRefusedError, refused_by
from .batches import batches, count, send, take_batches
from .control import ControlStream
from .flows import UDP_IDLE_S, FlowTable, Traffic
from .room import ROOMY, make_room, overflowed

log = logging.getLogger("toxvpn.tcpforward")

MAX_ASSOCIATIONS = 512
"""Of one peer at once; then the one makes room that would have ended first."""
MAX_REQUESTS = 64
"""Of one peer, that wait for a name to be looked up."""
DESCRIPTORS_OF_ONE = 2
EXPIRY_S = 5.0
LATER_S = 10.0
"""We keep an association for so much longer than the peer does, so that it is the one to end it."""


class Targets(Protocol):
    """What peers may reach: ForwardServer (tcpforward/server.py), or Builtins where there is nothing else."""

    async def datagram_addresses(self, peer: Peer, host_untrusted: str, port: int, /) -> list[Address]:
        """The addresses of host:port, in the order to try. Raises TargetRefusedError."""

    def allows_datagrams(self, peer: Peer, host_untrusted: str, port: int, address: str, /) -> bool:
        """Whether host:port may be reached at that address of it, still."""


class _Client:
    """A control stream of a peer, and what was asked for on it: by number, being opened or open."""

    __slots__ = ("control", "numbers", "peer", "requests")

    def __init__(self, peer: Peer, control: ControlStream) -> None:
        self.peer = peer
        self.control = control
        self.requests: dict[int, asyncio.Task[None]] = {}
        self.numbers: set[int] = set()


_Key = tuple[_Client, int]


class _Association:
    """`rest` are the addresses of the target that were not tried yet; `asked` is sent again to the next."""

    __slots__ = ("asked", "far", "inside", "key", "outside", "rest", "traffic", "wanted")

    def __init__(
        self,
        key: _Key,
        wanted: Associate,
        inside: socket.socket,
        outside: socket.socket,
        rest: Iterator[socket.socket],
    ) -> None:
        self.key = key
        self.wanted = wanted
        self.inside = inside
        self.far: tuple[str, int] = inside.getpeername()[:2]
        self.outside = outside
        self.rest = rest
        self.asked: tuple[bytes, int] | None = None
        self.traffic = Traffic()


class DatagramServer:
    """`road` gives the fast road while there is one."""

    def __init__(self, road: Callable[[], FastRoad | None], targets: Targets) -> None:
        self._dropped: WeakKeyDictionary[Peer, Counter[str]] = WeakKeyDictionary()
        self._road = road
        self._targets = targets
        self._loop = asyncio.get_running_loop()
        self._table: FlowTable[_Key, _Association] = FlowTable(MAX_ASSOCIATIONS)
        self._requests: Counter[bytes] = Counter()  # that wait, by public key
        self._timer: asyncio.TimerHandle | None = None

    @cached_property
    def _gatherer(self) -> Gatherer:
        return Gatherer()  # 128 kB, for who serves datagrams at all

    def builtin(self, may: Callable[[bytes], bool]) -> Builtin:
        """What to offer as `associations.NAME`; `may` says by public key who may ask at all."""
        return Builtin(VERSION, may, NOTHING_FOR_IT, self.carry)

    @property
    def associations(self) -> int:
        """How many there are now, of all peers."""
        return len(self._table)

    def drops(self, peer: Peer) -> Counter[str]:
        """Datagrams of the peer's associations that were lost here, by reason."""
        held = [each for each in self._table.values() if each.key[0].peer is peer]
        no_room = sum(overflowed(each.inside) + overflowed(each.outside) for each in held)
        return self._dropped.get(peer, Counter()) + Counter(udp_no_room=no_room)

    def judge_again(self) -> None:
        """Ends the associations with what their peers may not reach any more."""
        for association in list(self._table.values()):
            if self._is_allowed(association):
                association.rest = iter(())  # those addresses were allowed by the rules before
            else:
                self._end(association.key, ReplyCode.NOT_ALLOWED)

    async def carry(self, peer: Peer, sock: socket.socket) -> None:
        """Serves one control stream of the peer, to its end or that of the task."""
        client = _Client(peer, await ControlStream.over(sock))
        try:
            async for message in client.control.messages():
                self._on_message(client, message)
        except LineFaultError as fault:
            peer.log(log, logging.WARNING, "bad request for a UDP association: %s", fault)
        finally:
            for task in client.requests.values():
                task.cancel()
            for number in list(client.numbers):
                self._end((client, number))
            client.control.close()

    # -- requests

    def _on_message(self, client: _Client, message: Message) -> None:
        """Raises LineFaultError."""
        match message:
            case Associate(number) if number in client.numbers or number in client.requests:
                raise LineFaultError("the number of an association that there is already")
            case Associate(number) if self._requests[client.peer.public_key] >= MAX_REQUESTS:
                client.control.send(AssociationEnded(number, ReplyCode.GENERAL_FAILURE))
            case Associate(number):
                self._requests[client.peer.public_key] += 1
                task = client.requests[number] = asyncio.create_task(self._open(client, message))
                task.add_done_callback(partial(self._on_opened, client, number))
            case AssociationEnded(number):
                if number in client.requests:
                    client.requests[number].cancel()
                self._end((client, number))
            case _:
                raise LineFaultError("an answer instead of a request")

    def _on_opened(self, client: _Client, number: int, _: "asyncio.Task[None]") -> None:
        del client.requests[number]
        self._requests[client.peer.public_key] -= 1
        self._requests += Counter()  # keeps those that have some

    async def _open(self, client: _Client, wanted: Associate) -> None:
        peer, code = client.peer, ReplyCode.GENERAL_FAILURE
        try:
            addresses = await self._targets.datagram_addresses(peer, wanted.host, wanted.port)
            await self._begin(client, wanted, addresses)
            return
        except TargetRefusedError as refusal:
            code = refusal.code
            peer.log(log, logging.INFO, "refused: udp/%s", refusal)
        except (OSError, ToxvpnError) as failure:
            peer.log(log, logging.INFO, "no UDP association: %s", failure)
        client.control.send(AssociationEnded(wanted.number, code))

    async def _begin(self, client: _Client, wanted: Associate, addresses: list[Address]) -> None:
        """Raises OSError, ToxvpnError, of which TargetRefusedError."""
        peer, road = client.peer, self._road()
        if road is None:
            raise ToxvpnError("there is no fast road here now")
        held = self._table.count(peer.public_key) * DESCRIPTORS_OF_ONE
        if not DESCRIPTORS.allows_more(held) or not DESCRIPTORS.take(DESCRIPTORS_OF_ONE):
            raise ToxvpnError(TOO_FEW_DESCRIPTORS)
        key = client, wanted.number
        with contextlib.ExitStack() as undo:
            undo.callback(DESCRIPTORS.give, DESCRIPTORS_OF_ONE)
            inside = undo.enter_context(await road.datagram_socket())
            inside.connect((str(overlay_ipv6(peer.public_key)), wanted.source))
            rest = connected(addresses)
            outside = undo.enter_context(next(rest))
            take_batches(inside)
            if self._table.count(peer.public_key) < ROOMY:
                make_room(inside)
                make_room(outside)
            association = _Association(key, wanted, inside, outside, rest)
            undo.pop_all()
        gone = self._table.add(key, peer.public_key, association, UDP_IDLE_S + LATER_S, self._loop.time())
        client.numbers.add(wanted.number)
        if gone is not None:
            self._close(gone, ReplyCode.SUCCEEDED)
        self._loop.add_reader(inside, self._on_inside, association)
        self._loop.add_reader(outside, self._on_outside, association)
        if self._timer is None:
            self._timer = self._loop.call_later(EXPIRY_S, self._expire)
        if not self._is_allowed(association):  # the right was lost while the name was looked up
            self._end(key, ReplyCode.NOT_ALLOWED)
            return
        client.control.send(Associated(wanted.number, inside.getsockname()[1]))

    # -- datagrams

    def _on_inside(self, association: _Association) -> None:
        try:
            for batch in batches(association.inside, self._gatherer):
                if batch.source[:2] != association.far:  # it came before we were connected
                    self._drop(association, "udp_stranger", batch.datagrams)
                    continue
                association.traffic.there += batch.datagrams
                self._use(association)
                if not association.traffic.back:
                    association.asked = bytes(batch.data), batch.segment_bytes
                if not self._pass_out(association, batch.data, batch.segment_bytes):
                    return
        except ConnectionRefusedError:  # the peer has ended it, or has started anew
            self._end(association.key)

    def _on_outside(self, association: _Association) -> None:
        try:
            for batch in batches(association.outside, self._gatherer):
                association.traffic.back += batch.datagrams
                association.asked = None
                self._use(association)
                try:
                    send(association.inside, batch.data, batch.segment_bytes)
                except ConnectionRefusedError:
                    self._end(association.key)
                    return
                except OSError:
                    self._drop(association, "udp_network_full", batch.datagrams)
        except ConnectionRefusedError:
            self._next_address(association)

    def _pass_out(self, association: _Association, data: bytes | memoryview, segment_bytes: int) -> bool:
        """False when the association has ended, or has gone on to another address."""
        try:
            send(association.outside, memoryview(data), segment_bytes)
        except ConnectionRefusedError:  # the answer to an earlier one
            self._next_address(association)
            return False
        except OSError:
            self._drop(association, "udp_target_full", count(data, segment_bytes))
        return True

    def _next_address(self, association: _Association) -> None:
        """Nobody is at this address of the target: tries the next one, if nothing has been answered yet."""
        following = next(association.rest, None) if not association.traffic.back else None
        if following is None:
            self._end(association.key, ReplyCode.CONNECTION_REFUSED)
            return
        self._close_socket(association, association.outside)
        association.outside = following
        self._loop.add_reader(following, self._on_outside, association)
        if association.asked is not None:
            self._pass_out(association, *association.asked)

    def _drop(self, association: _Association, reason: str, datagrams: int) -> None:
        self._dropped.setdefault(association.key[0].peer, Counter())[reason] += datagrams

    # -- the end

    def _close_socket(self, association: _Association, sock: socket.socket) -> None:
        self._loop.remove_reader(sock)
        if lost := overflowed(sock):
            self._drop(association, "udp_no_room", lost)
        sock.close()

    def _is_allowed(self, association: _Association) -> bool:
        wanted, address = association.wanted, str(association.outside.getpeername()[0]).partition("%")[0]
        peer = association.key[0].peer
        return self._targets.allows_datagrams(peer, wanted.host, wanted.port, address)

    def _use(self, association: _Association) -> None:
        self._table.use(association.key, self._loop.time(), association.traffic.idle_s + LATER_S)

    def _expire(self) -> None:
        for association in self._table.expire(self._loop.time()):
            self._close(association, ReplyCode.SUCCEEDED)
        self._timer = self._loop.call_later(EXPIRY_S, self._expire) if len(self._table) else None

    def _end(self, key: _Key, code: ReplyCode = ReplyCode.SUCCEEDED) -> None:
        if (association := self._table.remove(key)) is not None:
            self._close(association, code)

    def _close(self, association: _Association, code: ReplyCode) -> None:
        client, number = association.key
        client.numbers.discard(number)
        client.control.send(AssociationEnded(number, code))
        for sock in (association.inside, association.outside):
            self._close_socket(association, sock)
        DESCRIPTORS.give(DESCRIPTORS_OF_ONE)


def connected(addresses: list[Address]) -> Iterator[socket.socket]:
    """A socket to each address in turn, as far as there is a way to it. Raises TargetRefusedError: to none.

    That is known at once, and says nothing about whether anybody is there.
    """
    refusal = TargetRefusedError(ReplyCode.HOST_UNREACHABLE, "it has no address")
    made = 0
    for address in addresses:
        try:
            sock = socket.socket(address.family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            refusal = refused_by(address, error)
            continue
        try:
            sock.connect(address.sockaddr)
            take_batches(sock)
        except OSError as error:
            sock.close()
            refusal = refused_by(address, error)
            continue
        made += 1
        yield sock
    if not made:
        raise refusal
