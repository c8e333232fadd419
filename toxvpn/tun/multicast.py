"""Multicast and broadcast over the VPN: lets the kernel and the datapath carry the chosen groups.

In: the groups of the configuration, and those that peers state. Out:

- the datapath's groups, and which peer takes part in which: only what both sides have chosen crosses;
- memberships on the device, without which the kernel hands no packet of a group to any program;
- for broadcast and groups without a name, a table of nftables that copies to the device what programs send
  to the local network: most choose no interface, and their packets take the default route. The copy has
  our address in the network as its source, so that answers come back. mDNS and SSDP need no copies: their
  programs send on each interface by itself, and what they send names addresses that belong to it.

DHCP and Tox's own packets are not copied. What comes from a peer goes to this machine's programs alone.
"""

import logging
import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from ipaddress import IPv4Address

from .._native.path.datapath import Datapath
from ..errors import ToxvpnError
from ..wire.multicast import BROADCAST, NAMED, addresses, shared
from .host.netconf import NetworkChanges
from .host.nftables import table_name
from .router import NetworkPeer

log = logging.getLogger("toxvpn.tun")

BESIDE_THE_ROUTES = "192.0.0.8"
"""Where a copy is "sent", on the device: nobody's address (RFC 7600), as the packet keeps its destination."""
COPIES = """
chain output {{
  type filter hook output priority -160; policy accept;
  oifname != {{ "lo", "{interface}" }} ip daddr {{ {groups} }} udp sport != {{ 67, 68, {carrier_port} }} udp dport != {{ 67, 68 }} dup to {gateway} device "{interface}";
}}
chain postrouting {{
  type filter hook postrouting priority -160; policy accept;
  oifname "{interface}" ip daddr {{ {groups} }} ip saddr != {own} ip saddr set {own};
}}
"""  # noqa: E501


class Multicast:
    """Made before the device is up. `announce` tells the peers which groups we take part in."""

    def __init__(
        self,
        datapath: Datapath,
        network: NetworkChanges,
        interface: str,
        announce: Callable[[tuple[str, ...]], None],
        carrier_port: int,
    ) -> None:
        self.groups: tuple[str, ...] = ()
        self._datapath = datapath
        self._network = network
        self._interface = interface
        self._announce = announce
        self._carrier_port = carrier_port
        self._own: IPv4Address | None = None
        self._copied = ""
        self._members = ExitStack()
        # packets to groups would come from a link-local address, which no peer knows
        network.forgo_link_local(interface)

    def close(self) -> None:
        """Leaves the groups. Idempotent."""
        self._members.close()

    def choose(self, groups: tuple[str, ...], peers: Sequence[NetworkPeer]) -> None:
        """Takes part in these groups, and no others."""
        if groups == self.groups:
            return
        self.groups = groups
        self._datapath.set_groups(addresses(groups))
        self._join()
        self._copy()
        self._announce(groups)
        for peer in peers:
            self.update(peer)

    def update(self, peer: NetworkPeer) -> None:
        """Lets the peer take part in what both have chosen."""
        self._datapath.join_groups(peer.peer.number, addresses(self.shared(peer)))

    def shared(self, peer: NetworkPeer) -> tuple[str, ...]:
        return shared(self.groups, peer.multicast)

    def set_own(self, own: Sequence[IPv4Address]) -> None:
        """Our IPv4 addresses in the network have changed; copies come from the first."""
        self._own = own[0] if own else None
        self._copy()

    def _join(self) -> None:
        """Joins the groups on the device: the kernel then hands their packets to every program that listens
        on the port and has joined the group on any interface (IP_MULTICAST_ALL, ip(7))."""
        self._members.close()
        index = self._network.index(self._interface)
        for group in addresses(self.groups):
            if not group.is_multicast:
                continue
            four = group.version == 4
            member = self._network.namespace.socket(
                socket.AF_INET if four else socket.AF_INET6, socket.SOCK_DGRAM
            )
            self._members.callback(member.close)
            try:
                if four:
                    request = group.packed + bytes(4) + struct.pack("i", index)  # struct ip_mreqn
                    member.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
                else:
                    request = group.packed + struct.pack("I", index)  # struct ipv6_mreq
                    member.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
            except OSError as error:
                log.warning("the group %s cannot be joined on %s: %s", group, self._interface, error.strerror)

    def _copy(self) -> None:
        """Loads the table of copies, or removes it."""
        name = table_name("multicast", self._interface)
        interface = self._network.name(self._interface)
        content = "" if self._own is None else copies(self.groups, self._own, interface, self._carrier_port)
        if content == self._copied:
            return
        self._copied = content
        try:
            if content:
                self._network.set_table("ip", name, content)
            else:
                self._network.remove_table("ip", name)
        except ToxvpnError as error:
            log.warning("what programs send to %s without choosing an interface stays here: %s",
                        " and ".join(copied(self.groups)) or "groups", error)  # fmt: skip


def copied(groups: Sequence[str]) -> list[str]:
    """The IPv4 groups whose packets are copied; in IPv6 a program must choose an interface itself."""
    named = [group for group in groups if group == BROADCAST or group not in NAMED]
    return [str(address) for address in addresses(named) if address.version == 4]


def copies(groups: Sequence[str], own: IPv4Address, interface: str, carrier_port: int) -> str:
    """The content of the table; "" when nothing is to be copied."""
    chosen = copied(groups)
    if not chosen:
        return ""
    return COPIES.format(
        interface=interface,
        groups=", ".join(chosen),
        own=own,
        carrier_port=carrier_port,
        gateway=BESIDE_THE_ROUTES,
    )
