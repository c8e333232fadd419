"""The networks behind peers that `toxvpn exec --route NETWORK=PEER` is to reach.

In: what was typed. Out: the peers with what is granted to them for this run; and a wait until the networks
are in use, or the reason why they are not.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_network

from ..errors import ToxvpnError, UsageError
from ..members.peers import ConfiguredPeer
from ..wire.routegrant import parse_behind
from ..wire.routes import IPNetwork
from .ask import ask
from .shared import Settings

USED_S = 5.0
"""After the peer is connected: it says at once what lies behind it."""
LOOK_AGAIN_S = 0.1


@dataclass(frozen=True, slots=True)
class WantedRoute:
    network: IPNetwork
    peer: ConfiguredPeer


def parse_routes(
    texts: Iterable[str], parse_peer: Callable[[Sequence[str]], tuple[ConfiguredPeer, ...]]
) -> list[WantedRoute]:
    """Raises UsageError."""
    found = []
    for text in texts:
        network, equals, peer = text.partition("=")
        if not (equals and peer):
            raise UsageError(f"--route {text!r}: write NETWORK=PEER, for example 10.0.0.0/24=pi")
        found.append(WantedRoute(parse_behind(network), parse_peer([peer])[0]))
    return found


def with_routes(peers: Iterable[ConfiguredPeer], routes: Iterable[WantedRoute]) -> tuple[ConfiguredPeer, ...]:
    """The peers, and those that lead to `routes`, with what is granted to each."""
    found = {peer.public_key: peer for peer in peers}
    for route in routes:
        peer = found.get(route.peer.public_key, route.peer)
        granted = () if peer.routes in (None, "all") else peer.routes
        found[peer.public_key] = replace(peer, routes=(*granted, route.network))
    return tuple(found.values())


def wait_for_routes(settings: Settings, routes: Iterable[WantedRoute]) -> None:
    """Raises ToxvpnError for one that is not used; the peers are connected."""
    deadline = time.monotonic() + USED_S
    for route in routes:
        while (reason := why_not_used(route, ask(settings, "status"))) is not None:
            if time.monotonic() > deadline:
                raise ToxvpnError(f"{route.network} is not reached: {reason}")
            time.sleep(LOOK_AGAIN_S)


def why_not_used(route: WantedRoute, status: object) -> str | None:
    """None if the network, or the part of it that the peer offers, is used. `status`: the document."""
    assert isinstance(status, dict)
    key = route.peer.public_key.hex().upper()
    peer = next((each for each in status["peers"] if each["public_key"] == key), None)
    if peer is None:
        return "that peer is not on the network that runs here"
    name = peer["name"] or key[:8]
    offered = [each for each in peer["routes"] if _overlap(ip_network(each["network"]), route.network)]
    if any(each["used"] for each in offered):
        return None
    if problems := [each["problem"] for each in offered if each["problem"]]:
        return str(problems[0])
    if offered:
        return (
            f"the network that runs here does not use it: 'toxvpn peer route {name} {route.network}' makes it"
        )
    return f"{name} does not offer this network: its configuration says so by advertise"


def _overlap(one: IPNetwork, other: IPNetwork) -> bool:
    return one.version == other.version and one.overlaps(other)
