"""Two real kernels talk through two TUN devices and two datapaths: what arrives is what was sent."""

import hashlib
import os
import socket
import subprocess
import threading
from typing import Any

import pytest

from toxvpn._native.packets import Counters
from toxvpn.testing.netns import have_namespaces, in_new_netns
from toxvpn.testing.two_kernels import FRIEND, B, TwoKernels

pytestmark = pytest.mark.skipif(not have_namespaces(), reason="needs root and /dev/net/tun")

MEGABYTE = 1 << 20
DEADLINE_S = 60
FAMILIES = pytest.mark.parametrize("index", [0, 1], ids=["IPv4", "IPv6"])
FAMILY = (socket.AF_INET, socket.AF_INET6)


def transfer(kernels: TwoKernels, index: int, size_bytes: int) -> tuple[str, str]:
    """Sends from A to B through one TCP connection; the hashes of what was sent and what arrived."""
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
        for _ in range(size_bytes // MEGABYTE):
            block = os.urandom(MEGABYTE)
            sent.update(block)
            sender.sendall(block)
    thread.join(DEADLINE_S)
    listener.close()
    return sent.hexdigest(), arrived.hexdigest()


@FAMILIES
@pytest.mark.parametrize("offload", [True, False], ids=["offload", "plain"])
def test_fifty_megabytes_arrive_as_they_were_sent(index: int, offload: bool) -> None:
    def scene() -> tuple[str, str, Counters, Counters]:
        with TwoKernels(offload=offload) as kernels:
            hashes = transfer(kernels, index, 50 * MEGABYTE)
            return *hashes, kernels.a.datapath.counters(FRIEND), kernels.b.datapath.counters(FRIEND)

    sent, arrived, a, b = in_new_netns(scene)
    assert sent == arrived
    assert a.tx_bytes > 50 * MEGABYTE
    assert (a.tx_packets, a.tx_bytes) == (b.rx_packets, b.rx_bytes)
    assert not any(a.drops.values()) and not any(b.drops.values())


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
    """The friend's MTU is smaller than the device's: too-big answers, and no packet is lost for good."""

    def scene() -> tuple[str, str, Counters]:
        with TwoKernels() as kernels:
            kernels.a.datapath.set_mtu(FRIEND, 1300)
            hashes = transfer(kernels, index, 2 * MEGABYTE)
            return *hashes, kernels.b.datapath.counters(FRIEND)

    sent, arrived, b = in_new_netns(scene)
    assert sent == arrived
    assert b.rx_bytes // b.rx_packets <= 1300


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
