"""The pump wakes a datapath up at the right moments, and stops when it should."""

import contextlib
import errno
import os
import socket
from collections.abc import AsyncIterator, Callable
from typing import cast

import pytest

from toxvpn._native.path.datapath import Datapath
from toxvpn.testing.fake_nodes import Network, until
from toxvpn.tox.node import Node
from toxvpn.tox.pump import PacketPump


class FakeDatapath:
    """Reads datagrams off a socket."""

    def __init__(self, tun: socket.socket) -> None:
        self.read: list[bytes] = []
        self.failure: OSError | None = None
        self.refused: tuple[str, ...] = ()
        self.on_refusal: Callable[[], None] | None = None
        self._tun = tun

    def read_tun(self) -> int:
        if self.failure is not None:
            raise self.failure
        with contextlib.suppress(BlockingIOError):
            while True:
                self.read.append(self._tun.recv(100))
        return len(self.read)


class Scene:
    def __init__(self, node: Node) -> None:
        self.node = node
        self.kernel, self.tun = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.tun.setblocking(False)
        self.datapath = FakeDatapath(self.tun)
        self.gone = 0
        self.pump = PacketPump(node, cast(Datapath, self.datapath), self.tun.fileno(), self._gone)

    def _gone(self) -> None:
        self.gone += 1


@pytest.fixture
async def network() -> AsyncIterator[Network]:
    made = Network()
    yield made
    made.close()


@pytest.fixture
async def scene(network: Network) -> AsyncIterator[Scene]:
    made = Scene(network.node())
    yield made
    made.pump.close()
    made.kernel.close()
    made.tun.close()


async def test_packets_of_the_kernel_are_read_at_once(scene: Scene) -> None:
    scene.kernel.send(b"one")
    await until(lambda: scene.datapath.read == [b"one"])


async def test_packets_are_read_without_room_too_and_room_is_asked_for_once(scene: Scene) -> None:
    asked: list[Callable[[], None]] = []
    flushes: list[int] = []
    scene.node.turns._sockets.when_writable = asked.append  # type: ignore[method-assign, assignment]
    tox = scene.node.tox
    tox.flush = lambda: flushes.append(len(scene.datapath.read))  # type: ignore[method-assign]
    tox.wants_room = True  # type: ignore[misc]
    scene.kernel.send(b"one")
    await until(lambda: len(asked) == 1)
    assert tox.room_asked
    tox.wants_room = False  # type: ignore[misc]
    for packet in (b"two", b"three"):
        scene.kernel.send(packet)
    await until(lambda: scene.datapath.read == [b"one", b"two", b"three"])
    scene.node.turns.turn()
    assert len(asked) == 1
    asked.pop()()
    assert flushes == [3] and not asked and not tox.room_asked


async def test_a_device_that_is_gone_is_told_of_once(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.datapath.failure = OSError(errno.EBADFD, f"the TUN device is gone: {os.strerror(errno.EBADFD)}")
    scene.kernel.send(b"wakes it")
    await until(lambda: scene.gone)
    scene.kernel.send(b"wakes nobody")
    for _ in range(3):
        scene.node.turns.turn()
    assert scene.gone == 1
    assert caplog.messages == ["the TUN device is gone: File descriptor in bad state"]


async def test_a_kernel_that_refuses_super_packets_is_told_of(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.datapath.refused = ("TCP",)
    assert scene.datapath.on_refusal is not None
    scene.datapath.on_refusal()
    (line,) = caplog.messages
    assert line.startswith("this kernel refuses super-packets of TCP")
    scene.pump.close()
    assert scene.datapath.on_refusal is None


async def test_a_closed_pump_reads_nothing_any_more(scene: Scene) -> None:
    scene.pump.close()
    scene.pump.close()
    scene.kernel.send(b"late")
    for _ in range(3):
        scene.node.turns.turn()
    assert scene.datapath.read == []
