"""The networks of both families that this machine reaches without the VPN, from the kernel's routes.

In: the kernel's tables; out: networks with words for a person. Neighbours: `subnets` keeps them from peers;
`local_networks` has those of IPv4 that our own addresses avoid.
"""

import socket
from collections.abc import Callable, Iterator
from ipaddress import ip_network

from ...wire.routegrant import unusable
from ..host.kernel import USABLE_KINDS, KernelTables
from ..subnets.choice import OtherNetwork


def interface_name(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:
        return f"interface {index}"


def other_networks(
    tables: KernelTables, own_index: int, name: Callable[[int], str] = interface_name
) -> Iterator[OtherNetwork]:
    """All but default routes and those through the interface `own_index`."""
    for route in tables.routes:
        if route.kind not in USABLE_KINDS or (route.interfaces and set(route.interfaces) == {own_index}):
            continue
        network = ip_network(route.destination)
        if unusable(network) is None:
            through = ", ".join(sorted({name(index) for index in route.interfaces}))
            yield OtherNetwork(
                network, f"a route through {through}" if through else "a route of this machine"
            )
