"""Packets of ID 201: each peer from its own address alone, to ours alone, as long as it is a peer."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import cast

import pytest

from toxvpn.tcpforward.fast import path as path_module
from toxvpn.tcpforward.fast.path import FastPath
from toxvpn.tcpforward.fast.stack import Stack
from toxvpn.testing.craft import ip_header, tcp_packet
from toxvpn.testing.fake_nodes import Network, until
from toxvpn.testing.memory_carrier import MemoryCarrier
from toxvpn.testing.memory_tun import MemoryTun
from toxvpn.tox.peer import Peer
from toxvpn.wire.addressing import overlay_ipv6
from toxvpn.wire.ip import STACK_MTU, STACK_PACKET_ID

FRAME = bytes([STACK_PACKET_ID])
HEADERS_BYTES = 60
MANY = 260  # more than the datapath reads at once, not more than the TUN in memory takes


@dataclass
class FakeStack:
    address: IPv6Address
    tun: MemoryTun
    udp_offload: bool = True


class Scene:
    """A node with one peer, and the fast path between a TUN and a carrier in memory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.carrier = MemoryCarrier()
        monkeypatch.setattr(path_module, "ToxCarrier", lambda _: self.carrier)
        self.network = Network()
        self.node, self.other = self.network.pair()
        self.tun = MemoryTun()
        self.own = overlay_ipv6(self.node.tox.public_key)
        self.path = FastPath(self.node, cast(Stack, FakeStack(self.own, self.tun)))
        peer = self.node.peer(self.other.tox.public_key)
        assert peer is not None
        self.peer = peer

    def inbound(
        self, peer: Peer, source: IPv6Address, destination: IPv6Address | None = None, size: int = 1000
    ) -> bool:
        """Whether a packet that the peer sends reaches the stack, unchanged."""
        header = ip_header(6, source, destination or self.own)
        packet = tcp_packet(header, bytes(size - HEADERS_BYTES))
        self.carrier.deliver(peer.number, FRAME + packet)
        self.carrier.flush_inbound()
        arrived = self.tun.packets()
        assert arrived in ([], [packet])
        return bool(arrived)

    def emit(self, destination: IPv6Address) -> None:
        """The stack sends a packet."""
        self.tun.inject(tcp_packet(ip_header(6, self.own, destination), b"x"))

    async def outbound(self, destination: IPv6Address) -> list[int]:
        """The friend numbers that get a packet of the stack."""
        self.emit(destination)
        self.emit(destination)
        await until(lambda: len(self.carrier.sent) == 2 or self.tun.packets())
        sent = [number for number, data in self.carrier.sent if data[:1] == FRAME]
        self.carrier.sent.clear()
        return sent[::2]


@pytest.fixture
async def scene(no_descriptor_is_left: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    made = Scene(monkeypatch)
    await until(lambda: made.peer.online)
    yield made
    made.network.close()
    made.tun.close()


async def test_a_peer_reaches_our_address_from_its_own(scene: Scene) -> None:
    its = overlay_ipv6(scene.peer.public_key)
    assert scene.inbound(scene.peer, its)
    assert scene.inbound(scene.peer, its, size=STACK_MTU)
    assert not scene.inbound(scene.peer, its, destination=IPv6Address(int(scene.own) + 1))
    assert not scene.inbound(scene.peer, its, destination=its)
    assert not scene.inbound(scene.peer, IPv6Address(int(its) + 1))
    assert not scene.inbound(scene.peer, scene.own)
    scene.path.close()


async def test_each_peer_has_its_own_address(scene: Scene) -> None:
    """Also one that comes after the start."""
    other = scene.node.accept(b"\x07" * 32)
    late = scene.network.node()
    late.accept(scene.node.tox.public_key)
    scene.node.remove(other)
    joined = scene.node.accept(late.tox.public_key)
    await until(lambda: joined.online)
    assert scene.inbound(joined, overlay_ipv6(joined.public_key))
    assert not scene.inbound(joined, overlay_ipv6(scene.peer.public_key))
    assert not scene.inbound(scene.peer, overlay_ipv6(joined.public_key))
    for peer in (scene.peer, joined):
        assert scene.path.peer_at(overlay_ipv6(peer.public_key)) is peer
        assert await scene.outbound(overlay_ipv6(peer.public_key)) == [peer.number]
    assert scene.path.peer_at(overlay_ipv6(other.public_key)) is None
    scene.path.close()


async def test_a_peer_that_is_removed_reaches_nothing(scene: Scene) -> None:
    its = overlay_ipv6(scene.peer.public_key)
    scene.node.remove(scene.peer)
    assert not scene.inbound(scene.peer, its)
    assert await scene.outbound(its) == []
    assert scene.path.peer_at(its) is None
    scene.path.close()


async def test_the_last_words_of_the_stack_get_out(scene: Scene) -> None:
    its = overlay_ipv6(scene.peer.public_key)
    for _ in range(MANY):
        scene.emit(its)
    scene.path.close()
    assert len(scene.carrier.sent) == MANY


async def test_a_socket_that_is_full_does_not_hold_up_the_end(scene: Scene) -> None:
    scene.carrier.is_congested = True
    scene.emit(overlay_ipv6(scene.peer.public_key))
    scene.path.close()


async def test_after_the_end_nothing_moves(scene: Scene) -> None:
    its = overlay_ipv6(scene.peer.public_key)
    scene.path.close()
    assert not scene.inbound(scene.peer, its)
    scene.emit(its)
    scene.network.tox.set_online(False)
    await until(lambda: not scene.peer.online)
    assert not scene.carrier.sent
