from ipaddress import ip_address, ip_network

import pytest

from toxvpn.usernet.router.destinations import Destinations, addresses

OWN = "fd74:6f78::1", "100.64.3.1"


def leads_to(destination: str, *behind: str) -> str | None:
    networks = frozenset(map(ip_network, behind))
    return Destinations(lambda: [ip_address(own) for own in OWN], networks).host(ip_address(destination))


@pytest.mark.parametrize("own", OWN)
def test_the_own_addresses_are_this_machine(own: str) -> None:
    assert leads_to(own) == "localhost"


def test_localhost_is_asked_for_by_the_same_version_first() -> None:
    assert addresses("localhost", 4) == ("127.0.0.1", "::1")
    assert addresses("localhost", 6) == ("::1", "127.0.0.1")
    assert addresses("10.0.0.5", 4) == ("10.0.0.5",)


@pytest.mark.parametrize("inside", ["10.0.0.5", "10.0.0.255", "fd00:10::5"])
def test_a_network_behind(inside: str) -> None:
    assert leads_to(inside, "10.0.0.0/24", "fd00:10::/64") == inside


@pytest.mark.parametrize("outside", ["10.0.1.5", "fd00:11::5", "100.64.3.2"])
def test_nothing_else(outside: str) -> None:
    assert leads_to(outside, "10.0.0.0/24", "fd00:10::/64") is None


@pytest.mark.parametrize(
    "special",
    [
        "127.0.0.1", "0.0.0.0", "0.1.2.3", "255.255.255.255", "224.0.0.251", "169.254.169.254",
        "::1", "::", "ff02::fb", "fe80::1", "::ffff:127.0.0.1", "::ffff:0.0.0.0", "::ffff:169.254.169.254",
    ],
)  # fmt: skip
def test_never_this_machine_by_another_name(special: str) -> None:
    assert leads_to(special, "0.0.0.0/0", "::/0") is None
