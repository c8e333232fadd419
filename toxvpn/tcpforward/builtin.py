"""Targets that toxvpn is itself, as `@speed`: what two toxvpn programs want of each other beside forwards.

A peer asks for one as for any target, by either road: its name is the host, the version of its protocol
the port. No host name begins with `@`, and none can be typed in a forward, where `@` stands for `:`. A
program that does not have it answers that there is no such host.

The serving side offers them to `ForwardServer` (server.py); the calling side uses `open_builtin`.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from ..tox.peer import Peer
from ..wire.socks5 import ReplyCode
from .budget import DESCRIPTORS, TOO_FEW_DESCRIPTORS
from .caller import Caller
from .ends import End, SocketEnd
from .fast.road import FastStream
from .road import Ending, Stream
from .spec import SIGN as SIGN
from .spec import Target
from .target import Address, TargetRefusedError

log = logging.getLogger("toxvpn.tcpforward")


@dataclass(frozen=True, slots=True)
class Builtin:
    """`may` decides by public key; `refusal` is for the log when it says no.

    `carry` gets a connected, non-blocking stream socket, which is its own, and is cancelled when the peer
    resets the stream. When it returns, the peer sees an orderly end: a protocol says itself what is complete.
    `take` gets the socket of the fast road itself, in place of `carry`, and must copy it before it returns:
    for bytes that another process moves.
    """

    version: int
    may: Callable[[bytes], bool]
    refusal: str
    carry: Callable[[Peer, socket.socket], Awaitable[None]]
    take: Callable[[Peer, socket.socket], None] | None = None


@dataclass(frozen=True, slots=True)
class Passage:
    """A built-in target that leads to another end, which `connect` gives, or raises TargetRefusedError.

    `connect` is called in the task that then carries the stream, whose cancellation resets it. `addresses`
    are those that datagrams go to.
    """

    version: int
    may: Callable[[bytes], bool]
    refusal: str
    connect: Callable[[], Awaitable[End]]
    addresses: Callable[[], Awaitable[list[Address]]]


class Builtins:
    """Those of one node, by name."""

    on_use: Callable[[], object] = staticmethod(lambda: None)
    """Called when a peer uses one: more streams may follow."""
    on_withdraw: Callable[[], object] = staticmethod(lambda: None)
    """Called when one is offered no more: datagrams may still go to it."""

    def __init__(self) -> None:
        self._offered: dict[str, Builtin | Passage] = {}
        self._running: dict[asyncio.Task[None], Callable[[], bool]] = {}  # and whether it still may

    def offer(self, name: str, builtin: Builtin | Passage) -> Callable[[], None]:
        """Offers it, in place of any other of that name, until the returned function is called."""
        assert name.startswith(SIGN)
        self._offered[name] = builtin

        def withdraw() -> None:
            if self._offered.get(name) is builtin:
                del self._offered[name]
                self.on_withdraw()

        return withdraw

    async def connect(self, peer: Peer, name_untrusted: str, version: int) -> End:
        """Starts to serve the peer. Raises TargetRefusedError."""
        builtin = self._offered.get(name_untrusted)
        if builtin is None:
            raise TargetRefusedError(ReplyCode.HOST_UNREACHABLE, f"{name_untrusted!r} is not offered here")
        if not builtin.may(peer.public_key):
            raise TargetRefusedError(ReplyCode.NOT_ALLOWED, f"{name_untrusted}: {builtin.refusal}")
        if version != builtin.version:
            text = f"{name_untrusted}: the peer wants version {version}, not {builtin.version}"
            raise TargetRefusedError(ReplyCode.HOST_UNREACHABLE, text)
        self.on_use()
        return await builtin.connect() if isinstance(builtin, Passage) else self._start(builtin, peer)

    async def datagram_addresses(self, peer: Peer, name_untrusted: str, version: int) -> list[Address]:
        """Where datagrams for that target go (udp/server.py). Raises TargetRefusedError."""
        passage = self._passage(peer, name_untrusted, version)
        if passage is None:
            raise TargetRefusedError(ReplyCode.HOST_UNREACHABLE, f"{name_untrusted!r} is not offered here")
        return await passage.addresses()

    def allows_datagrams(self, peer: Peer, name_untrusted: str, version: int, address: str) -> bool:
        """Whether datagrams for that target may go on; to which address is its own decision."""
        return self._passage(peer, name_untrusted, version) is not None

    def leads(self, public_key: bytes) -> bool:
        """Whether there is a passage for that peer."""
        return any(isinstance(each, Passage) and each.may(public_key) for each in self._offered.values())

    def judge_again(self) -> int:
        """Ends those that their peers may not use any more; returns how many."""
        lost = [task for task, allowed in self._running.items() if not allowed()]
        for task in lost:
            task.cancel()
        return len(lost)

    async def close(self) -> None:
        """Ends those that run."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _passage(self, peer: Peer, name_untrusted: str, version: int) -> Passage | None:
        found = self._offered.get(name_untrusted)
        if isinstance(found, Passage) and found.may(peer.public_key) and found.version == version:
            return found
        return None

    def _start(self, builtin: Builtin, peer: Peer) -> "BuiltinEnd":
        """Raises TargetRefusedError. What serves takes a descriptor more than a target would."""
        if not DESCRIPTORS.take(1):
            raise TargetRefusedError(ReplyCode.GENERAL_FAILURE, TOO_FEW_DESCRIPTORS)
        try:
            ours, theirs = socket.socketpair()
        except OSError:
            DESCRIPTORS.give(1)
            raise TargetRefusedError(ReplyCode.GENERAL_FAILURE, TOO_FEW_DESCRIPTORS) from None
        theirs.setblocking(False)
        task = asyncio.create_task(self._carry(builtin, peer, theirs))
        self._running[task] = lambda: builtin.may(peer.public_key)
        task.add_done_callback(lambda _: self._running.pop(task))
        task.add_done_callback(lambda _: theirs.close())  # also when it was cancelled before it began
        task.add_done_callback(lambda _: DESCRIPTORS.give(1))
        return BuiltinEnd(ours, task, None if builtin.take is None else partial(builtin.take, peer))

    async def _carry(self, builtin: Builtin, peer: Peer, theirs: socket.socket) -> None:
        with theirs:
            try:
                await builtin.carry(peer, theirs)
            except (OSError, EOFError) as failure:  # the peer is gone
                peer.log(log, logging.DEBUG, "a built-in target ended: %s", failure)
            except Exception:
                log.exception("peer %s: an error of toxvpn itself", peer.short)


class BuiltinEnd(SocketEnd):
    """The end that a road carries; a reset cancels the task that serves.

    `take`, where there is one, may be given the road's own socket instead, after `reserve`.
    """

    def __init__(
        self, sock: socket.socket, task: asyncio.Task[None], take: Callable[[socket.socket], None] | None
    ) -> None:
        super().__init__(sock)
        self._task = task
        self.take = take

    def reserve(self) -> None:
        """Keeps `carry` from beginning; to be called at once, when the end has just been made."""
        self._task.cancel()

    def close(self, *, clean: bool) -> None:
        super().close(clean=clean)
        if not clean:
            self._task.cancel()


async def open_builtin(caller: Caller, name: str, version: int) -> Stream:
    """A stream to the peer's built-in target. Raises PeerOfflineError, StreamOpenError."""
    return await caller.open(Target(name, version))


def detach(stream: Stream) -> socket.socket | None:
    """The socket of a stream of the fast road itself, in place of `relay`; None: it has to be carried.

    It is to be copied for another process, and then closed.
    """
    return stream.detach() if isinstance(stream, FastStream) else None


def as_socket(stream: Stream) -> tuple[socket.socket, asyncio.Task[Ending]]:
    """The stream as a connected, non-blocking socket, which the caller closes, and how it ends.

    The socket has EOF also after a reset: the task tells which it was. Cancelling the task resets the stream.
    """
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    return ours, relaying(stream, SocketEnd(theirs))


def relaying(stream: Stream, end: End) -> asyncio.Task[Ending]:
    """Moves bytes between them from now on; cancelling it resets both, also at once."""
    begun = False

    async def relay() -> Ending:
        nonlocal begun
        begun = True
        return await stream.relay(end)

    def on_done(_: asyncio.Task[Ending]) -> None:
        if not begun:
            stream.abort()
            end.close(clean=False)

    task = asyncio.create_task(relay())
    task.add_done_callback(on_done)
    return task
