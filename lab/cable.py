"""A cable between two namespaces, and what can be wrong with it.

A plain cable is a veth pair. A cable with a delay is a TAP device at each end and a process between them
(delayline.py). Loss, blocked UDP and a cut are nftables rules where packets come in, on each end: never
where they go out, because there the sender would get an error (EPERM). So nothing here needs netem.
"""

import contextlib
import fcntl
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from . import delayline
from .delayline import Delay
from .errors import LabError
from .namespace import Counters, Namespace
from .processes import Processes

TUNSETIFF = 0x400454CA
IFF_TAP = 0x0002
IFF_NO_PI = 0x1000

# the routers of a narrow cable send no ICMP errors
SILENT = """
table inet narrow {
  chain output {
    type filter hook output priority 0
    icmp type destination-unreachable drop
    icmpv6 type packet-too-big drop
  }
}
"""

# the empty table first, so that there is one to delete
ARRIVING = """
table netdev cable-{interface} {{ }}
delete table netdev cable-{interface}
table netdev cable-{interface} {{
  chain arriving {{
    type filter hook ingress device "{interface}" priority 0
    {rules}
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class End:
    """The interface that one end of a cable is plugged into."""

    namespace: Namespace
    interface: str

    def counters(self) -> Counters:
        return self.namespace.counters(self.interface)


class Cable:
    """A cable and its two ends; their interfaces appear with it, up and without IPv4 addresses."""

    def __init__(self, near: End, far: End) -> None:
        self.near = near
        self.far = far
        self._loss_percent = {near: 0.0, far: 0.0}  # of what comes in at that end
        self._udp_blocked = False
        self._swallowed = ""  # ip or ip6
        self._cut = False

    @classmethod
    def lay(cls, near: End, far: End, delay: Delay | None, processes: Processes) -> "Cable":
        cable = cls(near, far)
        if delay:
            cable._lay_taps(delay, processes)
        else:
            peer = {"ifname": far.interface, "net_ns_fd": far.namespace.name}
            near.namespace.add_link(ifname=near.interface, kind="veth", peer=peer)
        for end in (near, far, near):
            end.namespace.bring_up(end.interface)
        return cable

    def loss(self, percent: float, *, towards: Namespace | None = None) -> None:
        """Lose each packet with this chance, in both directions or in that towards one end; 0 ends it.

        The steps are 0.001 %. IPv6 neighbour discovery (and ARP) is spared: packets get lost, not the link.
        Offload is switched off, or a whole GSO batch would be lost as one packet.
        """
        self.disable_offload()
        for end in self._loss_percent:
            if towards in (None, end.namespace):
                self._loss_percent[end] = percent
        self._apply()

    def block_udp(self, blocked: bool = True) -> None:
        """Drop all UDP silently, as some firewalls do."""
        self._udp_blocked = blocked
        self._apply()

    def swallow(self, family: Literal["", "ip", "ip6"]) -> None:
        """Drop all IPv4 or all IPv6 silently, though both ends have addresses and routes; "" ends it."""
        self._swallowed = family
        self._apply()

    def down(self) -> None:
        """Let nothing through. Silent, as behind a switch: neither end sees its carrier go."""
        self._cut = True
        self._apply()

    def up(self) -> None:
        self._cut = False
        self._apply()

    def rate(self, mbit: float | None) -> None:
        """Limit each direction to this (tbf, 50 ms of queue); None ends it. Switches offload off."""
        self.disable_offload()
        for end in (self.near, self.far):
            end.namespace.shape(end.interface, mbit)

    def narrow(self, mtu: int) -> None:
        """Carry packets of at most so many bytes, whose routers drop larger ones without an error."""
        for end in (self.near, self.far):
            end.namespace.set_mtu(end.interface, mtu)
            end.namespace.nft(SILENT)

    def disable_offload(self) -> None:
        """Make every packet on the wire one packet: for counting them."""
        for end in (self.near, self.far):
            end.namespace.disable_offload(end.interface)

    def _apply(self) -> None:
        for end, percent in self._loss_percent.items():
            rules = ["drop"] if self._cut else []
            rules.append("icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept")
            if self._udp_blocked:
                rules.append("meta l4proto udp drop")
            if self._swallowed:
                rules.append(f"meta protocol {self._swallowed} drop")
            if percent:
                last = round(percent * 1000) - 1
                rules.append(f"meta protocol {{ ip, ip6 }} numgen random mod 100000 <= {last} drop")
            script = ARRIVING.format(interface=end.interface, rules="\n    ".join(rules))
            end.namespace.nft(script)

    def _lay_taps(self, delay: Delay, processes: Processes) -> None:
        with _tap(self.near) as near, _tap(self.far) as far:
            process = processes.start(
                self.near.namespace,
                [sys.executable, "-I", delayline.__file__, str(near), str(far), *delay.arguments()],
                stdout=subprocess.PIPE,
                pass_fds=[near, far],
            )
        assert process.stdout
        if process.stdout.read(1) != b"\n":
            raise LabError(f"the delay line between {self.near} and {self.far} did not start")


@contextlib.contextmanager
def _tap(end: End) -> Iterator[int]:
    """A new TAP device at `end`, as a descriptor; the device lives as long as some process has it open."""
    descriptor = end.namespace.call(os.open, "/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        request = struct.pack("16sH22x", end.interface.encode(), IFF_TAP | IFF_NO_PI)
        end.namespace.call(fcntl.ioctl, descriptor, TUNSETIFF, request)
        yield descriptor
    finally:
        os.close(descriptor)
