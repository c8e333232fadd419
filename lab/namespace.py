"""A named network namespace: made, entered for one call at a time, removed.

Nothing here changes the namespace of the caller. Work inside a namespace is done by a thread that enters
it, does one thing and ends; sockets and processes born there stay there. No forking is involved, so this
is safe next to other threads and inside a running asyncio loop.
"""

import contextlib
import ctypes
import fcntl
import os
import re
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from pyroute2 import IPRoute, netns
from pyroute2.ethtool.ioctl import IoctlEthtool

from .errors import LabError

P = ParamSpec("P")
R = TypeVar("R")

NETNS_DIRECTORY = Path("/run/netns")
LOCK_FILE = Path("/run/lock/toxvpn-lab")
CLONE_NEWNET = 0x40000000

OFFLOAD = re.compile(r"segmentation|gso|gro")  # among the names of `ethtool -k`
LIBC = ctypes.CDLL(None, use_errno=True)

SYSCTLS = {
    "net/ipv4/ping_group_range": "0 2147483647",  # everybody may ping
    "net/ipv6/conf/all/accept_dad": "0",  # IPv6 addresses are usable at once
    "net/ipv6/conf/default/accept_dad": "0",
    "net/ipv6/conf/default/accept_ra": "0",
}


@dataclass(frozen=True, slots=True)
class Counters:
    """Packets and bytes through an interface, as counted by its own side."""

    rx_packets: int
    rx_bytes: int
    tx_packets: int
    tx_bytes: int


@dataclass(frozen=True, slots=True)
class Route:
    """`destination` is "default" or a prefix; without `gateway` it is reached directly on the link."""

    destination: str
    gateway: str | None = None

    @property
    def family(self) -> int:
        return socket.AF_INET6 if ":" in (self.gateway or self.destination) else socket.AF_INET


class Namespace:
    """One network namespace, known to `ip netns` by `name`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = NETNS_DIRECTORY / name

    def create(self, sysctls: Mapping[str, str] | None = None) -> None:
        """Make it, with loopback up. `sysctls` are paths below /proc/sys, set before any interface exists.

        Raises OSError when the kernel refuses (not root, no namespaces, name taken).
        """
        with _locked():
            _in_thread(self._unshare)
        self.call(_set_sysctls, {**SYSCTLS, **(sysctls or {})})
        self.configure("lo")

    def _unshare(self) -> None:
        if LIBC.unshare(CLONE_NEWNET) < 0:
            error = ctypes.get_errno()
            raise OSError(error, f"cannot make a network namespace: {os.strerror(error)}")
        netns.attach(self.name, threading.get_native_id(), libc=LIBC)

    def remove(self) -> None:
        """Remove the name; the namespace itself goes with the last process in it. May be called twice."""
        with contextlib.suppress(FileNotFoundError):
            netns.remove(self.name, libc=LIBC)

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `function` inside the namespace and return what it returns, or raise what it raises."""

        def inside() -> R:
            netns.setns(self.name, flags=0, libc=LIBC)
            return function(*args, **kwargs)

        return _in_thread(inside)

    def configure(
        self, interface: str, addresses: Sequence[str] = (), routes: Sequence[Route] = (), master: str = ""
    ) -> None:
        """Bring `interface` up with addresses ("192.0.2.1/24"), as a port of the bridge `master` if given."""

        def inside() -> None:
            with IPRoute() as ip:
                [index] = ip.link_lookup(ifname=interface)
                if master:
                    ip.link("set", index=index, master=ip.link_lookup(ifname=master)[0])
                ip.link("set", index=index, state="up")
                for address in addresses:
                    ip.addr("add", index=index, address=address)
                for route in routes:
                    hop = {"gateway": route.gateway} if route.gateway else {"scope": "link"}
                    ip.route("add", dst=route.destination, oif=index, family=route.family, **hop)

        self.call(inside)

    def add_link(self, **arguments: Any) -> None:
        """Add an interface; the arguments are those of pyroute2's `IPRoute.link("add", …)`."""

        def inside() -> None:
            with IPRoute() as ip:
                ip.link("add", **arguments)

        self.call(inside)

    def bring_up(self, interface: str) -> None:
        """Bring `interface` up. If it has its carrier already, it passes packets when this returns.

        The kernel lets a new carrier take effect a little later, and a first packet lost to that costs the
        second until ARP tries again; asking for the state makes it take effect at once.
        """

        def inside() -> None:
            with IPRoute() as ip:
                [index] = ip.link_lookup(ifname=interface)
                ip.link("set", index=index, state="up")
                ip.link("get", index=index)

        self.call(inside)

    def take_down(self, interface: str) -> None:
        """Take `interface` down, with its addresses and routes."""
        self.flush(interface)

        def inside() -> None:
            with IPRoute() as ip:
                ip.link("set", index=ip.link_lookup(ifname=interface)[0], state="down")

        self.call(inside)

    def flush(self, interface: str) -> None:
        """Take from `interface` its routes, and its addresses except link-local ones."""

        def inside() -> None:
            with IPRoute() as ip:
                [index] = ip.link_lookup(ifname=interface)
                ip.flush_addr(index=index, scope=0)
                ip.flush_routes(oif=index, table=254)

        self.call(inside)

    def set_mtu(self, interface: str, mtu: int) -> None:
        def inside() -> None:
            with IPRoute() as ip:
                [index] = ip.link_lookup(ifname=interface)
                ip.link("set", index=index, mtu=mtu)

        self.call(inside)

    def unplug(self) -> None:
        """Delete its veths at once; when a namespace is removed, the kernel does so some time later."""

        def inside() -> None:
            with IPRoute() as ip:
                for link in ip.get_links(kind="veth"):
                    ip.link("del", index=link["index"])

        self.call(inside)

    def shape(self, interface: str, mbit: float | None) -> None:
        """Limit what `interface` sends with a token bucket (tbf); None takes the limit away."""

        def inside() -> None:
            with IPRoute() as ip:
                [index] = ip.link_lookup(ifname=interface)
                if mbit is None:
                    ip.tc("del", index=index, root=True)
                else:
                    rate = int(mbit * 125_000)  # bytes per second
                    burst = max(rate // 500, 3 * 1514)  # 2 ms of it, or a few packets
                    ip.tc("replace", "tbf", index, root=True, rate=rate, burst=burst, latency="50ms")

        self.call(inside)

    def disable_offload(self, interface: str) -> None:
        """Make every packet on the wire one packet: no segmentation or receive offload."""

        def inside() -> None:
            with contextlib.closing(IoctlEthtool(interface)) as ethtool:
                features = ethtool.get_features()
                for name in features.keys():  # noqa: SIM118 - iterating gives more than names
                    if features.is_active(name) and OFFLOAD.search(name):
                        features[name] = False
                ethtool.set_features(features)

        self.call(inside)

    def counters(self, interface: str) -> Counters:
        def inside() -> Counters:
            with IPRoute() as ip:
                [link] = ip.get_links(ifname=interface)
                stats = link.get_attr("IFLA_STATS64")
                return Counters(*(stats[name] for name in Counters.__dataclass_fields__))

        return self.call(inside)

    def nft(self, script: str) -> None:
        """Load an nftables script. Raises LabError with nft's own words."""
        result = self.call(subprocess.run, ["nft", "-f", "-"], input=script, capture_output=True, text=True)
        if result.returncode:
            raise LabError(f"nft in {self.name} failed: {result.stderr.strip()}\n{script}")


def can_make_namespaces() -> str | None:
    """Return None if the kernel lets us, else why not."""

    def try_it() -> str | None:
        return os.strerror(ctypes.get_errno()) if LIBC.unshare(CLONE_NEWNET) < 0 else None

    return _in_thread(try_it)


def _in_thread(function: Callable[[], R]) -> R:
    outcome: Future[R] = Future()

    def run() -> None:
        try:
            outcome.set_result(function())
        except BaseException as error:
            outcome.set_exception(error)

    thread = threading.Thread(target=run, name="lab")
    thread.start()
    thread.join()
    return outcome.result()


def _set_sysctls(values: Mapping[str, str]) -> None:
    for name, value in values.items():
        Path("/proc/sys", name).write_text(value)


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    """Two first namespaces of a machine at once would each mount /run/netns over the other's."""
    LOCK_FILE.parent.mkdir(exist_ok=True)
    with LOCK_FILE.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
