"""Two network namespaces joined by two TUN devices, two datapaths and a carrier in memory, in one process.

For tests of real kernel traffic without toxcore. Call inside `in_new_netns`: the process moves on to
a second namespace, and sockets belong to the one that they were made in.
"""

import os
import select
import threading
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_interface, ip_network
from typing import Self, TypeVar

from .._native.path.datapath import Datapath
from .._native.path.packets import PacketFormat
from ..tun.host.device import Offload, TunDevice, open_tun
from ..tun.host.netconf import NetworkChanges
from ..wire.ip import MAX_MTU
from .memory_carrier import MemoryCarrier
from .netns import enter_netns, enter_new_netns

T = TypeVar("T")

A = ("100.64.0.1", "fd74:6f78::1")
B = ("100.64.0.2", "fd74:6f78::2")
FRIEND = 0  # each is the other's friend 0


@dataclass
class Kernel:
    """One namespace: its device, its datapath."""

    tun: TunDevice
    carrier: MemoryCarrier
    datapath: Datapath
    network: NetworkChanges


def make_kernel(own: tuple[str, ...], other: tuple[str, ...], *, offload: bool, mtu: int) -> Kernel:
    """Make a device and a datapath in the current namespace."""
    tun = open_tun("tox0", offload=offload)
    carrier = MemoryCarrier()
    datapath = Datapath(
        carrier,
        tun.fd,
        PacketFormat.VPN,
        mtu=mtu,
        vnet_hdr=tun.vnet_hdr,
        udp_offload=Offload.USO4 in tun.offload,
    )
    network = NetworkChanges()
    network.set_mtu("tox0", mtu)
    for address in own:
        network.add_address("tox0", ip_interface(address))
        datapath.add_own_address(ip_network(address))
    network.link_up("lo")
    network.link_up("tox0")
    datapath.set_online(FRIEND, True)
    for address in other:
        network.add_route("tox0", ip_network(address))
        datapath.set_route(ip_network(address), FRIEND)
        datapath.allow_source(ip_network(address), FRIEND)
    return Kernel(tun, carrier, datapath, network)


class TwoKernels:
    """Two kernels with a datapath each; a thread moves the packets while the `with` block lasts.

    `in_a` and `in_b` run a function in the namespace of A and of B.
    """

    def __init__(self, *, offload: bool = True, mtu: int = MAX_MTU, mtu_b: int | None = None) -> None:
        self._namespaces: list[int] = []
        self.a = make_kernel(A, B, offload=offload, mtu=mtu)
        self._remember()
        enter_new_netns()
        self.b = make_kernel(B, A, offload=offload, mtu=mtu_b or mtu)
        self._remember()
        self.a.carrier.join(self.b.carrier, FRIEND)
        self.b.carrier.join(self.a.carrier, FRIEND)
        self._stop = os.eventfd(0)
        self._pump = threading.Thread(target=self._run)

    def _remember(self) -> None:
        self._namespaces.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))

    def in_a(self, function: Callable[[], T]) -> T:
        return self._inside(0, function)

    def in_b(self, function: Callable[[], T]) -> T:
        return self._inside(1, function)

    def _inside(self, index: int, function: Callable[[], T]) -> T:
        enter_netns(self._namespaces[index])
        return function()

    def _run(self) -> None:
        poll = select.poll()
        for fd in (self.a.tun.fd, self.b.tun.fd, self._stop):
            poll.register(fd, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if self._stop in ready:
                return
            for kernel in (self.a, self.b):
                if kernel.tun.fd in ready:
                    kernel.datapath.read_tun()
            self._flush()

    def _flush(self) -> None:
        """Let both write what they hold back, until neither has sent the other anything more."""
        sent = None
        while sent != (sent := (self.a.carrier.flushes, self.b.carrier.flushes)):
            self.a.carrier.flush_inbound()
            self.b.carrier.flush_inbound()

    def __enter__(self) -> Self:
        self._pump.start()
        return self

    def stop(self) -> None:
        """Stop moving packets: from here on the counters do not change. Idempotent."""
        os.eventfd_write(self._stop, 1)
        self._pump.join()

    def __exit__(self, *_: object) -> None:
        self.stop()
        os.close(self._stop)
        for kernel in (self.a, self.b):
            kernel.datapath.close()
            kernel.network.close()
            kernel.tun.close()
        for namespace in self._namespaces:
            os.close(namespace)
