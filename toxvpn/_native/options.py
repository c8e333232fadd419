"""The options of a Tox handle (`Tox_Options` of tox.h)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

LogCallback = Callable[[int, str, str], None]
"""Called with the level, 0 (trace) to 4 (error), `file:line`, and the text."""


@dataclass(frozen=True, slots=True)
class Options:
    """Options of a new handle.

    `udp_ports` is the range (first, last) tried in turn; 0, 0 is toxcore's own 33445 to 33545.

    `tcp_port` other than 0 makes this node a TCP relay on that port. With a proxy, UDP is off.
    `udp_segmentation`: send several datagrams per system call, where the kernel can (UDP_SEGMENT).
    `mark`: that of every socket (SO_MARK), by which routing and the firewall know them; it takes
    CAP_NET_ADMIN. 0: none.
    """

    ipv6: bool = True
    udp: bool = True
    local_discovery: bool = True
    udp_ports: tuple[int, int] = (0, 0)
    tcp_port: int = 0
    proxy_type: Literal["socks5", "http"] = "socks5"
    proxy_host: str | None = None
    proxy_port: int = 0
    udp_segmentation: bool = True
    mark: int = 0
    log: LogCallback | None = None
