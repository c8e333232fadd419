"""The router's side of a user's namespace: the gate, the listeners, and the rules that bring packets to them.

In: the namespace that has the VPN's device. Out: descriptors that the event loop watches. What is made here
ends with the namespace, so nothing is undone.
"""

import contextlib
import errno
import os
import socket
from collections.abc import Collection
from typing import Any

from ...errors import ToxvpnError
from ...tun.host.changes import PROTOCOL
from ...tun.host.namespace import Namespace
from ...tun.host.netlink import Netlink
from ...wire.ip import MAX_IP_BYTES
from .destinations import Network
from .ruleset import GATE, PORT, TO_GATE, TO_US, table

IP_TRANSPARENT, IPV6_TRANSPARENT = 19, 75  # linux/in.h, linux/in6.h
IP_RECVORIGDSTADDR, IPV6_RECVORIGDSTADDR = 20, 74
BACKLOG = 4096
LOOPBACK_INDEX = 1
TO_US_TABLE, TO_GATE_TABLE, LOCAL_TABLE = 201, 202, 255
RULES = ((1, TO_US, TO_US_TABLE), (2, TO_GATE, TO_GATE_TABLE), (3, None, LOCAL_TABLE))
"""Priority, mark, table. The local table comes after ours: a SYN for this machine itself goes to the gate."""
LOCAL_ROUTE = 2  # linux/rtnetlink.h: RTN_LOCAL
SCOPE = {socket.AF_INET: 254, socket.AF_INET6: 0}  # RT_SCOPE_HOST, RT_SCOPE_UNIVERSE
LOOPBACK: dict[int, str] = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}

MODULES = "nft_tproxy, nft_socket and nft_fib"

SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv6/conf/all/forwarding": "1",
    # what comes back from the gate has a peer's source address
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/all/accept_local": "1",  # of our own, where the gate answers in our name
    "net/ipv4/conf/default/rp_filter": "0",
    # the kernel forwards no packet to the gate for which it has found a socket, of a connection in TIME-WAIT
    "net/ipv4/tcp_early_demux": "0",
    "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/conf/default/send_redirects": "0",
    # no packets of the kernel's own on the gate
    "net/ipv6/conf/default/addr_gen_mode": "1",
    "net/ipv6/conf/default/router_solicitations": "0",
}


class Inside:
    """Made and set up on construction, which raises ToxvpnError and leaves nothing open then. What comes
    through `interface`, the VPN's device, for this machine and for the networks `behind` it, is the router's.

    `streams` listen for TCP, `datagrams` are bound for UDP, each over IPv4 and over IPv6; `gate_fd` is a TUN
    device of bare packets. All are non-blocking.
    """

    def __init__(self, namespace: Namespace, interface: str, behind: Collection[Network]) -> None:
        self._namespace = namespace
        with contextlib.ExitStack() as undo:
            for key, value in SYSCTLS.items():
                with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
                    namespace.write_sysctl(key, value)
            self._load(table(interface, behind))
            gate = namespace.open_tun(GATE, offload=False)
            undo.callback(gate.close)
            self.gate_fd = gate.fd
            with Netlink(namespace) as net:
                net.change("set up the router's routes", _set_up)
            self.streams = [undo.enter_context(self._listener(family)) for family in LOOPBACK]
            self.datagrams = [undo.enter_context(self._collector(family)) for family in LOOPBACK]
            self._undo = undo.pop_all()

    def close(self) -> None:
        self._undo.close()

    def datagram_socket(self, family: int) -> socket.socket:
        """A UDP socket that can be bound to any address. Raises OSError, ToxvpnError."""
        return self._transparent(family, socket.SOCK_DGRAM)

    def _load(self, script: str) -> None:
        try:
            self._namespace.nft(script, "make the router's table")
        except ToxvpnError as error:
            if os.strerror(errno.ENOENT) in str(error):
                raise ToxvpnError(f"{error}; the kernel needs {MODULES}") from None
            raise

    def _listener(self, family: int) -> socket.socket:
        sock = self._transparent(family, socket.SOCK_STREAM)
        sock.bind((LOOPBACK[family], PORT))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.listen(BACKLOG)
        return sock

    def _collector(self, family: int) -> socket.socket:
        sock = self._transparent(family, socket.SOCK_DGRAM)
        if family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_IP, IP_RECVORIGDSTADDR, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVORIGDSTADDR, 1)
        sock.bind((LOOPBACK[family], PORT))
        return sock

    def _transparent(self, family: int, kind: int) -> socket.socket:
        sock = self._namespace.socket(family, kind)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET:
                sock.setsockopt(socket.IPPROTO_IP, IP_TRANSPARENT, 1)
            else:
                sock.setsockopt(socket.IPPROTO_IPV6, IPV6_TRANSPARENT, 1)
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        except BaseException:
            sock.close()
            raise
        return sock


def _set_up(route: Any) -> None:
    """Raises NetlinkError."""
    gate = route.link_lookup(ifname=GATE)[0]
    route.link("set", index=gate, mtu=MAX_IP_BYTES, state="up")
    for family, scope in SCOPE.items():
        local = {"type": LOCAL_ROUTE, "scope": scope, "oif": LOOPBACK_INDEX, "table": TO_US_TABLE}
        route.route("add", family=family, dst="default", proto=PROTOCOL, **local)
        route.route("add", family=family, dst="default", oif=gate, table=TO_GATE_TABLE, proto=PROTOCOL)
        for priority, mark, number in RULES:
            marked = {} if mark is None else {"fwmark": mark}
            route.rule("add", family=family, priority=priority, table=number, protocol=PROTOCOL, **marked)
        route.rule("del", family=family, priority=0, table=LOCAL_TABLE)
