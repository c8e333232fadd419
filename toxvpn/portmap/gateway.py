"""The router in front of this machine: the gateway of the default route, as the kernel has it.

Numbers: linux/rtnetlink.h.
"""

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct, error

from ..wire.reach.mapped import may_be_public

ANYWHERE = "192.0.2.1"
"""An address of nobody (RFC 5737), for the default route. Nothing is sent there."""
NLM_F_REQUEST, RTM_NEWROUTE, RTM_GETROUTE = 1, 24, 26
RTA_DST, RTA_GATEWAY, RTA_PREFSRC, RTA_MARK = 1, 5, 7, 16
MESSAGE = Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence number, port
ROUTE = Struct("=8BI")  # struct rtmsg: family, lengths of destination and source, TOS, table …
ATTRIBUTE = Struct("=HH")  # struct rtattr: length, type
NUMBER = Struct("=I")


@dataclass(frozen=True, slots=True)
class Gateway:
    """`host`: its address; `own`: ours towards it; `mark`: that of packets to it (SO_MARK)."""

    host: str
    own: str
    mark: int = 0

    @property
    def translates(self) -> bool:
        """Whether there must be a NAT between us and the Internet."""
        return not may_be_public(self.own)

    def socket(self, kind: socket.SocketKind) -> socket.socket:
        """One of that kind from our address, not blocking. Raises OSError."""
        made = socket.socket(socket.AF_INET, kind)
        try:
            made.setblocking(False)
            if self.mark:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, self.mark)
            made.bind((self.own, 0))
        except OSError:
            made.close()
            raise
        return made


def find(mark: int = 0) -> Gateway | None:
    """The gateway of packets with this mark; None: there is none, or no default route."""
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
            netlink.send(_request(mark))
            return _read(netlink.recv(1 << 16, socket.MSG_DONTWAIT), mark)
    except (OSError, error):
        return None


def _request(mark: int) -> bytes:
    attributes = ATTRIBUTE.pack(8, RTA_DST) + socket.inet_aton(ANYWHERE)
    attributes += ATTRIBUTE.pack(8, RTA_MARK) + NUMBER.pack(mark)
    route = ROUTE.pack(socket.AF_INET, 32, 0, 0, 0, 0, 0, 0, 0)
    length = MESSAGE.size + len(route) + len(attributes)
    return MESSAGE.pack(length, RTM_GETROUTE, NLM_F_REQUEST, 1, 0) + route + attributes


def _read(answer: bytes, mark: int) -> Gateway | None:
    length, kind, *_ = MESSAGE.unpack_from(answer)
    if kind != RTM_NEWROUTE:
        return None
    found = dict(_attributes(answer[MESSAGE.size + ROUTE.size : length]))
    if not {RTA_GATEWAY, RTA_PREFSRC} <= found.keys():
        return None
    return Gateway(socket.inet_ntoa(found[RTA_GATEWAY]), socket.inet_ntoa(found[RTA_PREFSRC]), mark)


def _attributes(content: bytes) -> Iterator[tuple[int, bytes]]:
    while len(content) >= ATTRIBUTE.size:
        length, kind = ATTRIBUTE.unpack_from(content)
        if length < ATTRIBUTE.size:
            return
        yield kind, content[ATTRIBUTE.size : length]
        content = content[(length + 3) & ~3 :]
