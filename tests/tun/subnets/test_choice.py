"""Which of the networks that peers offer are used; the peers say anything."""

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from toxvpn.tun.subnets.choice import MOST_ROUTES, Decision, Offer, OtherNetwork, decide
from toxvpn.wire.routegrant import RouteGrant, unusable
from toxvpn.wire.routes import IPNetwork

A, B, C = (bytes([number]) * 32 for number in (1, 2, 3))
NAMES = {A: "ann", B: "ben", C: "cat"}


def nets(*texts: str) -> tuple[IPNetwork, ...]:
    return tuple(map(ip_network, texts))


def offer(key: bytes, offered: str, granted: str) -> Offer:
    grant: RouteGrant = "all" if granted == "all" else nets(*granted.split())
    return Offer(NAMES[key], nets(*offered.split()), grant)


def decided(*offers: tuple[bytes, str, str], others: tuple[tuple[str, str], ...] = ()) -> Decision:
    avoided = [OtherNetwork(ip_network(network), what) for network, what in others]
    return decide({key: offer(key, offered, granted) for key, offered, granted in offers}, avoided)


def used(decision: Decision) -> dict[str, str]:
    return {str(network): NAMES[key] for network, key in decision.used.items()}


def reasons(decision: Decision, key: bytes) -> dict[str, str]:
    return {str(network): reason for network, reason in decision.refused.get(key, {}).items()}


LAN, LAN6 = "192.168.10.0/24", "fd00:10::/64"


def test_nothing_is_used_that_is_not_granted() -> None:
    assert decided((A, f"{LAN} {LAN6}", "")) == Decision()


def test_nothing_is_used_that_is_not_offered() -> None:
    assert decided((A, "", f"{LAN} {LAN6}")) == Decision()
    assert decided((A, "", "all")) == Decision()


def test_both_families_by_name_and_by_all() -> None:
    for granted in (f"{LAN} {LAN6}", "all"):
        assert used(decided((A, f"{LAN} {LAN6}", granted))) == {LAN: "ann", LAN6: "ann"}


@pytest.mark.parametrize(
    ("offered", "granted", "gives"),
    [
        ("10.0.0.0/8", "10.1.0.0/16", ["10.1.0.0/16"]),
        ("10.1.0.0/16 10.2.0.0/16 192.168.1.0/24", "10.0.0.0/8", ["10.1.0.0/16", "10.2.0.0/16"]),
        ("10.1.0.0/16", "10.2.0.0/16", []),
        ("fd00::/16", "10.0.0.0/8", []),
    ],
)
def test_where_offer_and_grant_meet(offered: str, granted: str, gives: list[str]) -> None:
    assert sorted(used(decided((A, offered, granted)))) == gives


@pytest.mark.parametrize(
    "network", ["0.0.0.0/0", "::/0", "0.0.0.0/1", "127.0.0.0/8", "224.0.0.0/8", "fd74:6f78::/48", "fe80::/64"]
)
@pytest.mark.parametrize("granted", ["named", "all"])
def test_what_nobody_can_lead_to_is_refused(network: str, granted: str) -> None:
    decision = decided((A, network, network if granted == "named" else "all"))
    assert used(decision) == {}
    assert list(reasons(decision, A)) == [network]


def test_a_grant_is_no_way_to_a_default_route() -> None:
    """A careless grant of everything uses what fits, and refuses a default route."""
    decision = decided((A, f"0.0.0.0/0 {LAN}", "0.0.0.0/0"))
    assert used(decision) == {LAN: "ann"}
    assert "which takes an exit" in reasons(decision, A)["0.0.0.0/0"]


def test_public_networks_have_to_be_named() -> None:
    decision = decided((A, "8.8.8.0/24 2606:4700::/32", "all"))
    assert used(decision) == {} and len(reasons(decision, A)) == 2
    assert "name it" in reasons(decision, A)["8.8.8.0/24"]
    assert used(decided((A, "8.8.8.0/24", "8.8.8.8/32"))) == {"8.8.8.8/32": "ann"}


@pytest.mark.parametrize("granted", [LAN, "all", "192.168.0.0/16"])
@pytest.mark.parametrize("local", [LAN, "192.168.0.0/16", "192.168.10.7/32"])
def test_what_is_used_here_otherwise_is_refused_and_named(granted: str, local: str) -> None:
    decision = decided((A, LAN, granted), others=((local, "a route through eth0"), ("10.0.0.0/8", "x")))
    assert used(decision) == {}
    assert reasons(decision, A) == {LAN: f"it overlaps {local}, a route through eth0"}


def test_of_several_that_are_in_the_way_the_largest_is_named() -> None:
    decision = decided((A, LAN, "all"), others=(("192.168.10.2/32", "small"), (LAN, "large")))
    assert reasons(decision, A) == {LAN: f"it overlaps {LAN}, large"}


def test_another_peers_network_is_refused_and_the_peer_named() -> None:
    for granted in ("all", LAN):
        decision = decided((A, LAN, granted), (B, LAN, granted))
        assert used(decision) == {LAN: "ann"}
        assert reasons(decision, B) == {LAN: f"it overlaps {LAN}, which is reached through ann"}


def test_what_a_person_named_goes_before_all() -> None:
    decision = decided((A, "192.168.10.0/25", "all"), (B, LAN, LAN))
    assert used(decision) == {LAN: "ben"}
    assert reasons(decision, A) == {"192.168.10.0/25": f"it overlaps {LAN}, which is reached through ben"}


def test_named_networks_may_lie_in_one_another() -> None:
    decision = decided((A, "10.0.0.0/8", "10.0.0.0/8"), (B, "10.1.0.0/16", "10.1.0.0/16"))
    assert used(decision) == {"10.0.0.0/8": "ann", "10.1.0.0/16": "ben"}


def test_what_all_covers_must_not() -> None:
    decision = decided((A, "10.0.0.0/8", "all"), (B, "10.1.0.0/16", "all"))
    assert used(decision) == {"10.1.0.0/16": "ben"}
    assert "reached through ben" in reasons(decision, A)["10.0.0.0/8"]


def test_a_thousand_networks_are_not_used() -> None:
    offered = " ".join(f"10.{number // 250}.{number % 250}.0/24" for number in range(1000))
    decision = decided((A, offered, "all"), (B, LAN, "all"))
    assert len(decision.used) == MOST_ROUTES + 1 and decision.used[IPv4Network(LAN)] == B
    assert len(decision.refused[A]) == 1000 - MOST_ROUTES


def within(
    bases: list[int], lengths: list[int], kind: type[IPv4Network | IPv6Network]
) -> st.SearchStrategy[Any]:
    """Few and large, so that they overlap."""
    return st.builds(lambda *pair: kind(pair, strict=False), st.sampled_from(bases), st.sampled_from(lengths))


V4 = within([0, 0x0A000000, 0x0A010000, 0xC0A80A00], [0, 8, 16, 24, 32], IPv4Network)
V6 = within([0, 0xFD00 << 112, 0xFD74_6F78 << 96], [0, 16, 48, 64, 128], IPv6Network)
NETWORKS = st.lists(V4 | V6, max_size=8).map(tuple)
OFFERS = st.dictionaries(
    st.sampled_from([A, B, C]),
    st.builds(Offer, st.just("x"), NETWORKS, st.one_of(st.just("all"), NETWORKS)),
)


def overlapping(one: IPNetwork, others: tuple[IPNetwork, ...]) -> Iterator[IPNetwork]:
    return (each for each in others if each.version == one.version and each.overlaps(one))


@given(OFFERS, NETWORKS)
@example({A: Offer("x", nets("0.0.0.0/0"), "all"), B: Offer("y", nets(LAN), nets("0.0.0.0/0"))}, ())
def test_whatever_is_offered(offers: dict[bytes, Offer], local: tuple[IPNetwork, ...]) -> None:
    decision = decide(offers, [OtherNetwork(each, "here") for each in local])
    for prefix, key in decision.used.items():
        owner = offers[key]
        assert unusable(prefix) is None
        assert not list(overlapping(prefix, local))
        assert any(prefix.subnet_of(each) for each in overlapping(prefix, owner.offered))  # type: ignore[arg-type]
        if owner.granted != "all":
            assert any(prefix.subnet_of(each) for each in overlapping(prefix, owner.granted))  # type: ignore[arg-type]
            continue
        foreign = tuple(each for each, other in decision.used.items() if other != key)
        assert not list(overlapping(prefix, foreign))
    for key, refused in decision.refused.items():
        assert not {each for each in refused if decision.used.get(each) == key}
    reordered = dict(reversed(offers.items()))
    assert decide(reordered, [OtherNetwork(each, "here") for each in local]).used == decision.used
