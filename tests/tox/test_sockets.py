"""Waking on sockets that toxcore would read: real ones, with a stub for the handle."""

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from typing import cast

import pytest

from toxvpn._native.toxcore import Tox
from toxvpn.tox import sockets
from toxvpn.tox.sockets import SocketWatch

LOOP_ROUNDS = 20


class Handle:
    """What SocketWatch asks of a Tox handle."""

    def __init__(self, *watched: socket.socket) -> None:
        self.watched = list(watched)
        self.sockets_version = 1
        self.quiet = True
        self.turns = 0

    def iterate(self) -> None:
        self.turns += 1

    def sockets(self) -> list[tuple[int, bool]]:
        return [(sock.fileno(), sock.type == socket.SOCK_DGRAM) for sock in self.watched]

    def replace(self, *watched: socket.socket) -> None:
        self.watched = list(watched)
        self.sockets_version += 1


class Awake:
    """A watch on a handle, which leaves everything unread; `settle` says how often it was turned.

    A stream that is new to it, and connected, wakes once.
    """

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self.watch = SocketWatch(cast(Tox, handle), asyncio.get_running_loop(), self._wake)
        self.watch.refresh()

    def _wake(self) -> None:
        self.watch.turn()

    async def settle(self) -> int:
        """How often the handle was turned in some rounds of the loop."""
        before = self._handle.turns
        for _ in range(LOOP_ROUNDS):
            await asyncio.sleep(0)
        return self._handle.turns - before


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    with near, far:
        yield near, far


@pytest.fixture
def other_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with near, far:
        yield near, far


Pair = tuple[socket.socket, socket.socket]


async def test_wakes_for_every_arrival_on_any_socket(pair: Pair, other_pair: Pair) -> None:
    (near, far), (other_near, other_far) = pair, other_pair
    awake = Awake(Handle(near, other_near))
    assert await awake.settle() == 1
    for sender, receiver in ((far, near), (other_far, other_near), (far, near)):
        sender.send(b"packet")
        assert await awake.settle() == 1
        receiver.recv(100)
    awake.watch.forget()


async def test_half_a_packet_left_unread_keeps_nobody_awake(pair: Pair) -> None:
    near, far = pair
    awake = Awake(Handle(near))
    await awake.settle()
    far.send(b"half")
    assert await awake.settle() == 1
    far.send(b"the rest")
    assert await awake.settle() == 1
    awake.watch.forget()


async def test_a_connection_that_was_full_wakes_when_it_has_room() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as near:
        near.connect(listener.getsockname())
        near.setblocking(False)
        far, _ = listener.accept()
        awake = Awake(Handle(near))
        await awake.settle()
        with contextlib.suppress(BlockingIOError):
            while True:
                near.send(bytes(1 << 16))
        assert await awake.settle() == 0
        with far:
            far.settimeout(10)
            while not await awake.settle():
                far.recv(1 << 16)
        awake.watch.forget()


async def test_a_connection_closed_by_the_other_side_wakes_once(pair: Pair) -> None:
    near, far = pair
    awake = Awake(Handle(near))
    await awake.settle()
    far.close()
    assert await awake.settle() == 1
    assert await awake.settle() == 0
    awake.watch.forget()


async def test_what_came_before_the_socket_was_known_wakes_too(pair: Pair, other_pair: Pair) -> None:
    (near, far), (other_near, _) = pair, other_pair
    handle = Handle(other_near)
    awake = Awake(handle)
    far.send(b"packet")
    assert await awake.settle() == 0
    handle.replace(near)
    awake.watch.refresh()
    assert await awake.settle() == 1
    awake.watch.forget()


async def test_a_number_given_to_another_socket_is_watched_anew(pair: Pair, other_pair: Pair) -> None:
    (near, _), (other_near, other_far) = pair, other_pair
    handle = Handle(near)
    awake = Awake(handle)
    number = near.fileno()
    near.close()
    with socket.socket(fileno=os.dup2(other_near.fileno(), number)) as renumbered:
        handle.replace(renumbered)
        awake.watch.refresh()
        other_far.send(b"packet")
        assert await awake.settle() == 1
        awake.watch.forget()


async def test_nothing_wakes_after_forget_until_refresh(pair: Pair) -> None:
    near, far = pair
    awake = Awake(Handle(near))
    awake.watch.forget()
    far.send(b"packet")
    assert await awake.settle() == 0
    awake.watch.refresh()
    assert await awake.settle() == 1
    awake.watch.forget()


async def test_room_is_told_of_once_also_while_arrivals_wake_nobody(other_pair: Pair) -> None:
    near, far = other_pair
    near.setblocking(False)
    awake = Awake(Handle(near))
    with contextlib.suppress(BlockingIOError):
        while True:
            near.send(bytes(1000))
    calls: list[str] = []
    awake.watch.forget()
    awake.watch.when_writable(lambda: calls.append("room"))
    await awake.settle()
    assert not calls
    with contextlib.suppress(BlockingIOError):
        while True:
            far.recv(1000, socket.MSG_DONTWAIT)
    await awake.settle()
    assert calls == ["room"]
    awake.watch.close()


async def test_nobody_hears_of_room_after_the_end(other_pair: Pair) -> None:
    awake = Awake(Handle(other_pair[0]))
    calls: list[str] = []
    awake.watch.when_writable(lambda: calls.append("room"))
    awake.watch.close()
    await awake.settle()
    assert not calls


async def test_what_cannot_be_watched_is_tried_again(
    pair: Pair, other_pair: Pair, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (near, far), (other_near, _) = pair, other_pair
    handle = Handle(other_near)
    awake = Awake(handle)
    handle.replace(near)
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(sockets, "Arrivals", out_of_descriptors)
        for _ in range(3):
            awake.watch.refresh()
    assert not awake.watch.exact, "so that turns come by time"
    assert caplog.messages == ["cannot watch sockets, so incoming packets are delayed: Too many open files"]
    awake.watch.refresh()
    far.send(b"packet")
    assert await awake.settle() == 1
    awake.watch.close()


def out_of_descriptors(*_: object) -> None:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


async def test_who_fails_of_the_room_keeps_it_from_nobody(other_pair: Pair) -> None:
    awake = Awake(Handle(other_pair[0]))
    calls: list[str] = []

    def fail() -> None:
        raise RuntimeError("of the test")

    awake.watch.when_writable(fail)
    awake.watch.when_writable(lambda: calls.append("room"))
    await awake.settle()
    assert calls == ["room"]
    awake.watch.close()
