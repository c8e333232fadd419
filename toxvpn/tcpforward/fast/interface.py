"""Sets up the one interface of a private stack, by four messages of rtnetlink(7).

In: the interface's name, an address, the network that is behind it, an MTU. Called in the stack's namespace.
pyroute2 does all this too, but its modules would be three quarters of the helper's memory for as long as it
runs, and half of its start. Numbers: linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterable

QUEUE_PACKETS = 10_000  # TCP bounds what each of its streams has in it; the usual 500 overflow with 200

MESSAGE = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence number, port
NLM_F_REQUEST, NLM_F_ACK, NLM_F_EXCL, NLM_F_CREATE = 0x1, 0x4, 0x200, 0x400
NLMSG_ERROR = 2
RTM_NEWLINK, RTM_NEWADDR, RTM_NEWROUTE = 16, 20, 24

ATTRIBUTE = struct.Struct("=HH")  # struct rtattr: length, type
LINK = struct.Struct("=BxHIII")  # struct ifinfomsg: family, type, interface, flags, which flags to change
ADDRESS = struct.Struct("=BBBBI")  # struct ifaddrmsg: family, prefix length, flags, scope, interface
ROUTE = struct.Struct("=8BI")  # struct rtmsg: family, lengths of destination and source, TOS, table …
LOOPBACK_INDEX = 1
IFF_UP = 1
IFLA_MTU, IFLA_TXQLEN = 4, 13
IFA_LOCAL = 2
IFA_F_NODAD = 0x02
RTA_DST, RTA_OIF, RTA_METRICS = 1, 4, 8
RTAX_LOCK, RTAX_RTO_MIN, RTAX_QUICKACK = 1, 13, 15
RT_TABLE_MAIN, RTPROT_STATIC, RT_SCOPE_UNIVERSE, RTN_UNICAST = 254, 4, 0, 1

QUICK_RTO_MS = 4
"""A packet that is lost while nothing else is under way, a keystroke, is repeated a round trip and so much
later; usually it is 200 ms. Every segment is acknowledged at once (RTAX_QUICKACK): none is repeated only
because its acknowledgement was held back. A path that varies by more soon has longer time-outs: what is added
to the round trip is this, or four times its variation if that is more (RFC 6298 §2)."""


def configure(interface: str, address: str, prefix: str, mtu: int) -> None:
    """Sets addresses, routes and links. `prefix`: NETWORK/LENGTH, IPv6 as the address. Raises OSError."""
    network, length = prefix.split("/")
    index = socket.if_nametoindex(interface)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        _change(netlink, RTM_NEWLINK, up(LOOPBACK_INDEX))
        _change(netlink, RTM_NEWLINK, up(index) + attributes([(IFLA_MTU, mtu), (IFLA_TXQLEN, QUEUE_PACKETS)]))
        _change(netlink, RTM_NEWADDR, new_address(index, address), NLM_F_CREATE | NLM_F_EXCL)
        _change(netlink, RTM_NEWROUTE, new_route(index, network, int(length)), NLM_F_CREATE | NLM_F_EXCL)


def up(index: int) -> bytes:
    return LINK.pack(socket.AF_UNSPEC, 0, index, IFF_UP, IFF_UP)


def new_address(index: int, address: str) -> bytes:
    """Without duplicate address detection: else the kernel lets nobody bind to it for a moment."""
    header = ADDRESS.pack(socket.AF_INET6, 128, IFA_F_NODAD, RT_SCOPE_UNIVERSE, index)
    return header + attribute(IFA_LOCAL, socket.inet_pton(socket.AF_INET6, address))


def new_route(index: int, network: str, length: int) -> bytes:
    """A route whose least time until a repetition is locked, or the kernel would not heed it."""
    kind = (RT_TABLE_MAIN, RTPROT_STATIC, RT_SCOPE_UNIVERSE, RTN_UNICAST)
    metrics = attributes([(RTAX_LOCK, 1 << RTAX_RTO_MIN), (RTAX_RTO_MIN, QUICK_RTO_MS), (RTAX_QUICKACK, 1)])
    return (
        ROUTE.pack(socket.AF_INET6, length, 0, 0, *kind, 0)
        + attribute(RTA_DST, socket.inet_pton(socket.AF_INET6, network))
        + attributes([(RTA_OIF, index)])
        + attribute(RTA_METRICS, metrics)
    )


def attributes(numbers: Iterable[tuple[int, int]]) -> bytes:
    """One attribute for each type with its 32-bit number."""
    return b"".join(attribute(kind, struct.pack("=I", number)) for kind, number in numbers)


def attribute(kind: int, content: bytes) -> bytes:
    """`content`: whole words of 4 bytes, as all of ours are, so that there is nothing to fill up."""
    return ATTRIBUTE.pack(ATTRIBUTE.size + len(content), kind) + content


def _change(netlink: socket.socket, kind: int, body: bytes, flags: int = 0) -> None:
    """Sends a request and waits for the kernel's answer, which comes at once. Raises OSError."""
    flags |= NLM_F_REQUEST | NLM_F_ACK
    netlink.send(MESSAGE.pack(MESSAGE.size + len(body), kind, flags, 0, 0) + body)
    answer = netlink.recv(4096)
    _, answered, *_ = MESSAGE.unpack_from(answer)
    number = -struct.unpack_from("=i", answer, MESSAGE.size)[0] if answered == NLMSG_ERROR else errno.EPROTO
    if number:
        raise OSError(number, f"the private interface could not be set up: {os.strerror(number)}")
