"""The interface of a private stack is set up as pyroute2, which decodes by itself, then sees it."""

import errno
import os
import socket
from typing import Any

import pytest
from pyroute2 import IPRoute

from toxvpn.tcpforward.fast.interface import IFA_F_NODAD, QUEUE_PACKETS, QUICK_RTO_MS, configure
from toxvpn.testing.netns import have_namespaces, in_new_netns
from toxvpn.tun.host.device import open_tun

ADDRESS = "fd74:6f78::a"
PREFIX = "fd74:6f78::/32"
MTU = 8000

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not have_namespaces(), reason="needs root and /dev/net/tun"),
]


def test_the_kernel_has_what_was_asked_for() -> None:
    def scene() -> tuple[list[Any], Any, Any]:
        tun = open_tun("stack")
        configure(tun.name, ADDRESS, PREFIX, MTU)
        index = socket.if_nametoindex("stack")
        with IPRoute() as kernel:
            links = [kernel.get_links(each)[0] for each in (1, index)]
            addresses = [each for each in kernel.get_addr(index=index) if each["prefixlen"] == 128]
            routes = [each for each in kernel.get_routes(family=socket.AF_INET6) if each["dst_len"] == 32]
        return links, addresses, routes

    [loopback, link], [address], [route] = in_new_netns(scene)
    assert loopback["state"] == link["state"] == "up"
    assert (link.get_attr("IFLA_MTU"), link.get_attr("IFLA_TXQLEN")) == (MTU, QUEUE_PACKETS)
    assert (address.get_attr("IFA_ADDRESS"), address["prefixlen"]) == (ADDRESS, 128)
    assert address["flags"] & IFA_F_NODAD
    assert route.get_attr("RTA_DST") == PREFIX.split("/")[0]
    metrics = dict(route.get_attr("RTA_METRICS")["attrs"])
    assert metrics.pop("RTAX_LOCK") == 1 << 13, "unlocked, the kernel ignores it"
    assert metrics == {"RTAX_RTO_MIN": QUICK_RTO_MS, "RTAX_QUICKACK": 1}


@pytest.mark.parametrize(
    ("mtu", "address", "number"),
    [(1, ADDRESS, errno.EINVAL), (MTU, "ff02::1", errno.EADDRNOTAVAIL)],
    ids=["the link", "the address"],
)
def test_a_refusal_is_one_line(mtu: int, address: str, number: int) -> None:
    def scene() -> tuple[int | None, str]:
        tun = open_tun("stack")
        with pytest.raises(OSError, match="set up") as refused:
            configure(tun.name, address, PREFIX, mtu)
        return refused.value.errno, refused.value.strerror or ""

    reason = f"the private interface could not be set up: {os.strerror(number)}"
    assert in_new_netns(scene) == (number, reason)
