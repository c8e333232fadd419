from collections.abc import Sequence
from ipaddress import ip_network
from typing import Any

import pytest

from toxvpn.cli.exec_routes import WantedRoute, parse_routes, why_not_used, with_routes
from toxvpn.errors import UsageError
from toxvpn.members.peers import ConfiguredPeer

PI, BOX = ConfiguredPeer(b"p" * 32), ConfiguredPeer(b"b" * 32)
WANTED = WantedRoute(ip_network("10.0.0.0/24"), PI)


def kept(texts: Sequence[str]) -> tuple[ConfiguredPeer, ...]:
    return tuple({"pi": PI, "box": BOX}[text] for text in texts)


def test_a_network_and_the_peer_it_lies_behind() -> None:
    assert parse_routes(["10.0.0.0/24=pi"], kept) == [WANTED]


@pytest.mark.parametrize("text", ["10.0.0.0/24", "10.0.0.0/24=", "=pi", "10.0.0.1/24=pi", "home=pi"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_routes([text], kept)


def test_a_peer_is_granted_all_its_networks_for_this_run() -> None:
    routes = parse_routes(["10.0.0.0/24=pi", "fd00:10::/64=pi"], kept)
    box, pi = with_routes([BOX], routes)
    assert box == BOX
    assert pi.public_key == PI.public_key
    assert pi.routes == tuple(map(ip_network, ("10.0.0.0/24", "fd00:10::/64")))


def status(*routes: dict[str, Any], key: bytes = PI.public_key) -> dict[str, Any]:
    return {"peers": [{"public_key": key.hex().upper(), "name": "pi", "routes": list(routes)}]}


def route(network: str, *, used: bool = False, problem: str | None = None) -> dict[str, Any]:
    return {"network": network, "used": used, "problem": problem}


@pytest.mark.parametrize("network", ["10.0.0.0/24", "10.0.0.128/25", "10.0.0.0/16"])
def test_a_network_of_which_at_least_a_part_is_used(network: str) -> None:
    assert why_not_used(WANTED, status(route("fd00::/64"), route(network, used=True))) is None


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (status(route("10.0.0.0/24", problem="it overlaps 10.0.0.0/8, a route through eth0")), "it overlaps"),
        (status(route("10.0.0.0/24")), "'toxvpn peer route pi 10.0.0.0/24' makes it"),
        (status(route("10.0.1.0/24", used=True)), "pi does not offer this network"),
        (status(), "pi does not offer this network"),
        (status(key=BOX.public_key), "that peer is not on the network that runs here"),
    ],
)
def test_why_a_network_is_not_used(found: dict[str, Any], reason: str) -> None:
    assert reason in str(why_not_used(WANTED, found))
