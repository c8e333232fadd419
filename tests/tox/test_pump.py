"""The pump wakes a datapath up at the right moments, and stops when it should."""

import errno
import os
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest

from toxvpn._native.datapath import Datapath
from toxvpn.testing.fake_nodes import Network, until
from toxvpn.tox import loop
from toxvpn.tox import pump as pump_module
from toxvpn.tox.node import Node
from toxvpn.tox.pump import PacketPump


class FakeDatapath:
    """Reads datagrams off a socket; `room` is how many the network takes before it is congested."""

    def __init__(self, node: Node, tun: socket.socket) -> None:
        self.read: list[bytes] = []
        self.room = 1000
        self.failure: OSError | None = None
        self.refused: tuple[str, ...] = ()
        self.on_refusal: Callable[[], None] | None = None
        self._network = node
        self._tun = tun

    def read_tun(self) -> int:
        if self.failure is not None:
            raise self.failure
        while self.room:
            try:
                self.read.append(self._tun.recv(100))
            except BlockingIOError:
                break
            self.room -= 1
        self._network.tox.congested = not self.room  # type: ignore[misc]
        return len(self.read)


class Scene:
    def __init__(self, node: Node) -> None:
        self.node = node
        self.kernel, self.tun = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.tun.setblocking(False)
        self.datapath = FakeDatapath(node, self.tun)
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


async def test_a_congested_network_leaves_packets_in_the_device(scene: Scene) -> None:
    """And they go on their way when it has room again, in their order."""
    scene.datapath.room = 2
    for number in range(5):
        scene.kernel.send(b"%d" % number)
    writable: list[Callable[[], None]] = []
    scene.node.when_writable = writable.append  # type: ignore[method-assign, assignment]
    await until(lambda: writable)
    assert scene.datapath.read == [b"0", b"1"]
    scene.kernel.send(b"5")
    for _ in range(10):
        scene.node.turn()
    assert scene.datapath.read == [b"0", b"1"] and len(writable) == 1
    scene.datapath.room = 1000
    writable.pop()()
    assert scene.datapath.read == [b"%d" % number for number in range(6)]
    scene.kernel.send(b"6")
    await until(lambda: scene.datapath.read[-1] == b"6")


async def test_a_device_that_is_gone_is_told_of_once(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.datapath.failure = OSError(errno.EBADFD, f"the TUN device is gone: {os.strerror(errno.EBADFD)}")
    scene.kernel.send(b"wakes it")
    await until(lambda: scene.gone)
    scene.kernel.send(b"wakes nobody")
    for _ in range(3):
        scene.node.turn()
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
        scene.node.turn()
    assert scene.datapath.read == []


async def test_room_that_comes_after_the_end_is_of_no_use(scene: Scene) -> None:
    scene.datapath.room = 1
    writable: list[Callable[[], None]] = []
    scene.node.when_writable = writable.append  # type: ignore[method-assign, assignment]
    for packet in (b"one", b"two"):
        scene.kernel.send(packet)
    await until(lambda: writable)
    scene.pump.close()
    scene.datapath.room = 1
    writable.pop()()
    assert scene.datapath.read == [b"one"]


async def test_a_device_that_cannot_be_watched_is_tried_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.datapath.room = 1
    for packet in (b"one", b"two"):
        scene.kernel.send(packet)
    writable: list[Callable[[], None]] = []
    scene.node.when_writable = writable.append  # type: ignore[method-assign, assignment]
    await until(lambda: writable)
    scene.datapath.room = 1000
    real, refused = loop.add_reader, list[Any]()

    def add_reader(*what: Any) -> None:
        if not refused:
            refused.append(what)
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        real(*what)

    monkeypatch.setattr(pump_module, "RETRY_S", 0.0)
    monkeypatch.setattr(pump_module, "add_reader", add_reader)
    writable.pop()()
    await until(lambda: scene.datapath.read == [b"one", b"two"])
    scene.kernel.send(b"three")
    await until(lambda: scene.datapath.read[-1] == b"three")
