"""Two real kernels talk through two TUN devices and two datapaths: what arrives is what was sent."""

import hashlib
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
from scapy.packet import Raw

from toxvpn._native.path.packets import Counters, DropReason, FilterRule, Place
from toxvpn.testing.netns import have_namespaces, in_new_netns
from toxvpn.testing.two_kernels import FRIEND, A, B, TwoKernels
from toxvpn.wire.ip import frame_vpn

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not have_namespaces(), reason="needs root and /dev/net/tun"),
]

MEGABYTE = 1 << 20
DEADLINE_S = 60
FAMILIES = pytest.mark.parametrize("index", [0, 1], ids=["IPv4", "IPv6"])
FAMILY = (socket.AF_INET, socket.AF_INET6)


def transfer(
    kernels: TwoKernels, index: int, size_bytes: int, midway: Callable[[], None] = lambda: None
) -> tuple[str, str]:
    """Sends from A to B through one TCP connection; the hashes of what was sent and what arrived.

    `midway` is called when the connection is open and a megabyte is on its way.
    """
    listener = kernels.in_b(lambda: socket.create_server((B[index], 0), family=FAMILY[index]))
    arrived = hashlib.sha256()

    def receive() -> None:
        stream, _ = listener.accept()
        with stream:
            stream.settimeout(DEADLINE_S)
            while data := stream.recv(MEGABYTE):
                arrived.update(data)

    thread = threading.Thread(target=receive)
    thread.start()
    sent = hashlib.sha256()
    with kernels.in_a(lambda: socket.socket(FAMILY[index])) as sender:
        sender.settimeout(DEADLINE_S)
        sender.connect(listener.getsockname())
        for number in range(size_bytes // MEGABYTE):
            if number == 1:
                midway()
            block = os.urandom(MEGABYTE)
            sent.update(block)
            sender.sendall(block)
    thread.join(DEADLINE_S)
    listener.close()
    return sent.hexdigest(), arrived.hexdigest()


@FAMILIES
@pytest.mark.parametrize("offload", [True, False], ids=["offload", "plain"])
def test_fifty_megabytes_arrive_as_they_were_sent(index: int, offload: bool) -> None:
    def scene() -> tuple[str, str, Counters, Counters, int]:
        with TwoKernels(offload=offload) as kernels:
            hashes = transfer(kernels, index, 50 * MEGABYTE)
            kernels.stop()
            counters = (kernels.a.datapath.counters(FRIEND), kernels.b.datapath.counters(FRIEND))
            return *hashes, *counters, kernels.in_b(received_by_kernel)

    sent, arrived, a, b, writes = in_new_netns(scene)
    assert sent == arrived
    assert writes < b.rx_packets / 5 if offload else writes == b.rx_packets
    assert a.tx_bytes > 50 * MEGABYTE
    assert (a.tx_packets, a.tx_bytes) == (b.rx_packets, b.rx_bytes)
    assert not any(a.drops.values()) and not any(b.drops.values())


def received_by_kernel() -> int:
    """How often something was written to the device, in the thread's namespace."""
    (line,) = (line for line in Path("/proc/thread-self/net/dev").read_text().splitlines() if "tox0:" in line)
    return int(line.split()[2])


@FAMILIES
def test_datagrams_of_every_size_arrive(index: int) -> None:
    """The last ones are fragmented by the kernel."""
    sizes = [0, 1, 100, 1320, 1340, 1341, 1400, 5000, 20000]

    def scene() -> list[bytes]:
        with TwoKernels() as kernels:
            receiver = kernels.in_b(lambda: socket.socket(FAMILY[index], socket.SOCK_DGRAM))
            receiver.bind((B[index], 0))
            receiver.settimeout(DEADLINE_S)
            with receiver, kernels.in_a(lambda: socket.socket(FAMILY[index], socket.SOCK_DGRAM)) as sender:
                return [exchange(sender, receiver, bytes([size % 251]) * size) for size in sizes]

    def exchange(sender: socket.socket, receiver: socket.socket, data: bytes) -> bytes:
        sender.sendto(data, receiver.getsockname())
        return receiver.recv(65536)

    assert in_new_netns(scene) == [bytes([size % 251]) * size for size in sizes]


def fragments(index: int, port: int, data: bytes, begins: list[int]) -> list[bytes]:
    """Of a datagram from A to B that is cut at `begins`; each piece ends 32 bytes after it, or at the end."""
    there = (IP, IPv6)[index](src=A[index], dst=B[index])
    whole = bytes((IP, IPv6)[index](bytes(there / UDP(sport=7, dport=port) / Raw(data))).payload)
    pieces = []
    for begin in begins:
        piece, more = Raw(whole[begin : begin + 32]), int(begin + 32 < len(whole))
        header = {"frag": begin // 8, "flags": more, "proto": 17, "id": len(data)}
        extension = IPv6ExtHdrFragment(offset=begin // 8, m=more, nh=17, id=len(data))
        cut = there.copy() / extension if index else IP(src=A[0], dst=B[0], **header)
        pieces.append(bytes(cut / piece))
    return pieces


@FAMILIES
def test_the_kernel_takes_no_fragments_that_overlap(index: int) -> None:
    """So nothing that was judged by its first fragment can be turned into another packet by a later one."""
    overlapping, apart = bytes(72), bytes([1]) * 88

    def scene() -> bytes:
        with TwoKernels() as kernels:
            kernels.stop()
            receiver = kernels.in_b(lambda: socket.socket(FAMILY[index], socket.SOCK_DGRAM))
            with receiver:
                receiver.bind((B[index], 0))
                receiver.settimeout(DEADLINE_S)
                port = receiver.getsockname()[1]
                kernels.b.datapath.set_policy(FRIEND, [FilterRule(Place.HERE, 17, port, port)])
                for packet in [
                    *fragments(index, port, overlapping, [0, 24, 48]),
                    *fragments(index, port, apart, [0, 32, 64]),
                ]:
                    kernels.b.carrier.deliver(FRIEND, frame_vpn(packet))
                    kernels.b.carrier.flush_inbound()
                assert not any(kernels.b.datapath.counters(FRIEND).drops.values())
                return receiver.recv(1000)

    assert in_new_netns(scene) == apart


@FAMILIES
def test_segmented_datagrams_arrive(index: int) -> None:
    """UDP_SEGMENT: with kernel offload they leave the kernel as one, and enter the other as one."""

    def scene() -> list[bytes]:
        with TwoKernels() as kernels:
            receiver = kernels.in_b(lambda: socket.socket(FAMILY[index], socket.SOCK_DGRAM))
            receiver.bind((B[index], 0))
            receiver.settimeout(DEADLINE_S)
            with receiver, kernels.in_a(lambda: socket.socket(FAMILY[index], socket.SOCK_DGRAM)) as sender:
                sender.setsockopt(socket.IPPROTO_UDP, 103, 500)  # UDP_SEGMENT
                sender.sendto(b"".join(bytes([n]) * 500 for n in range(20)), receiver.getsockname())
                return [receiver.recv(65536) for _ in range(20)]

    assert in_new_netns(scene) == [bytes([n]) * 500 for n in range(20)]


@FAMILIES
def test_the_kernel_heeds_a_friend_that_takes_less(index: int) -> None:
    """The friend's MTU is smaller than the device's: the handshake's MSS says so, no packet is too big."""

    def scene() -> tuple[str, str, Counters]:
        with TwoKernels() as kernels:
            kernels.a.datapath.set_mtu(FRIEND, 1300)
            hashes = transfer(kernels, index, 2 * MEGABYTE)
            return *hashes, kernels.a.datapath.counters(FRIEND)

    sent, arrived, a = in_new_netns(scene)
    assert sent == arrived
    assert not any(a.drops.values())
    assert a.tx_bytes // a.tx_packets <= 1300


@FAMILIES
def test_the_kernel_heeds_a_too_big_answer(index: int) -> None:
    """The friend takes less from now on, in the middle of a connection."""

    def scene() -> tuple[str, str, Counters]:
        with TwoKernels() as kernels:

            def narrow() -> None:
                kernels.a.datapath.set_mtu(FRIEND, 1290)

            hashes = transfer(kernels, index, 20 * MEGABYTE, narrow)
            return *hashes, kernels.a.datapath.counters(FRIEND)

    sent, arrived, a = in_new_netns(scene)
    assert sent == arrived
    assert 0 < a.drops[DropReason.TOO_BIG] < 200
    assert a.tx_packets > 20 * MEGABYTE // 1290


@FAMILIES
def test_a_program_gets_its_datagrams_in_order(index: int) -> None:
    """Every third one travels in fragments."""
    sizes = (1000, 1000, 4000)

    def scene() -> list[tuple[int, int]]:
        with TwoKernels() as kernels:
            receiver = kernels.in_b(lambda: socket.socket(FAMILY[index], socket.SOCK_DGRAM))
            receiver.bind((B[index], 0))
            receiver.settimeout(DEADLINE_S)
            to = receiver.getsockname()
            found = []
            with receiver, kernels.in_a(lambda: socket.socket(FAMILY[index], socket.SOCK_DGRAM)) as sender:
                for number in range(20):
                    for place, size in enumerate(sizes):
                        sender.sendto(bytes([number, place]) + bytes(size), to)
                    found += [receiver.recv(65536)[:2] for _ in sizes]
            return [(data[0], data[1]) for data in found]

    assert in_new_netns(scene) == [(number, place) for number in range(20) for place in range(3)]


@pytest.mark.parametrize(
    ("index", "size", "mtu"),
    [(0, 1340, 1000), (1, 1232, 1000)],
    ids=["IPv4 in fragments", "IPv6 of 1280 bytes"],
)
def test_a_sender_that_cannot_learn_gets_through_to_a_friend_that_takes_less(
    index: int, size: int, mtu: int
) -> None:
    def scene() -> tuple[bytes, int]:
        with TwoKernels() as kernels:
            kernels.a.datapath.set_mtu(FRIEND, mtu)
            receiver = kernels.in_b(lambda: socket.socket(FAMILY[index], socket.SOCK_DGRAM))
            receiver.bind((B[index], 0))
            receiver.settimeout(DEADLINE_S)
            with receiver, kernels.in_a(lambda: socket.socket(FAMILY[index], socket.SOCK_DGRAM)) as sender:
                if index == 0:
                    sender.setsockopt(socket.IPPROTO_IP, 10, 0)  # IP_MTU_DISCOVER, IP_PMTUDISC_DONT
                sender.sendto(b"x" * size, receiver.getsockname())
                arrived = receiver.recv(65536)
            return arrived, kernels.a.datapath.counters(FRIEND).drops[DropReason.TOO_BIG]

    assert in_new_netns(scene) == (b"x" * size, 0)


def test_ping_says_what_is_wrong() -> None:
    def scene() -> dict[str, Any]:
        with TwoKernels() as kernels:
            outcome = {"reached": kernels.in_a(lambda: ping(B[0]))}
            kernels.a.datapath.set_mtu(FRIEND, 1300)
            outcome["too big"] = kernels.in_a(lambda: ping(B[0], "-M", "do", "-s", "1300"))
            kernels.a.datapath.set_online(FRIEND, False)
            outcome["offline"] = kernels.in_a(lambda: ping(B[0]))
            outcome["offline IPv6"] = kernels.in_a(lambda: ping(B[1]))
            return outcome

    outcome = in_new_netns(scene)
    assert "1 received" in outcome["reached"]
    assert "mtu = 1300" in outcome["too big"] or "mtu=1300" in outcome["too big"]
    assert "Destination Host Unreachable" in outcome["offline"]
    assert "Address unreachable" in outcome["offline IPv6"]


def ping(*arguments: str) -> str:
    target, *options = arguments
    command = ["ping", "-c", "1", "-W", "5", *options, target]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
    return ran.stdout + ran.stderr
