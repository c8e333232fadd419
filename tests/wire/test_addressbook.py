import random
from ipaddress import IPv4Address, IPv4Network
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toxvpn.wire.addressbook import AddressBook, Refused, Settlement
from toxvpn.wire.addressing import RANGES, ipv4_candidates

NARROW = (IPv4Network("10.64.0.0/24"),)  # where keys meet soon


def first(key: bytes) -> IPv4Address:
    return next(ipv4_candidates(key, NARROW))


def colliding_keys(many: int) -> list[bytes]:
    """Keys with the same first candidate, smallest first."""
    wanted = first(bytes(32))
    keys = (number.to_bytes(32, "big") for number in range(100_000))
    return [key for _, key in zip(range(many), (key for key in keys if first(key) == wanted), strict=False)]


SMALL, MIDDLE, LARGE = colliding_keys(3)
CLASH = first(SMALL)
CHOSEN = IPv4Address("10.203.0.2")
OTHER = b"\xff" * 32


def book(key: bytes, **options: object) -> AddressBook:
    return AddressBook(key, ranges=NARROW, **options)  # type: ignore[arg-type]


def test_alone_a_node_has_its_first_candidate() -> None:
    assert book(SMALL).settle() == Settlement(CLASH, {}, {})


def test_the_larger_key_moves_and_both_know_it() -> None:
    small, large = book(SMALL), book(LARGE)
    before = small.state_untrusted(LARGE, CLASH)
    assert (before.own, before.refused) == (CLASH, {LARGE: Refused.OURS})
    moved = large.state_untrusted(SMALL, CLASH)
    assert moved.own == list(ipv4_candidates(LARGE, NARROW))[1]
    assert moved.accepted == {SMALL: CLASH}
    assert small.state_untrusted(LARGE, moved.own).accepted == {LARGE: moved.own}


def test_moving_passes_over_every_stated_address() -> None:
    second, third = list(ipv4_candidates(LARGE, NARROW))[1:3]
    large = book(LARGE)
    large.state_untrusted(OTHER, second)
    assert large.state_untrusted(SMALL, CLASH).own == third


def test_a_requested_address_never_moves() -> None:
    large = book(LARGE, requested=CLASH)
    settled = large.state_untrusted(SMALL, CLASH)
    assert (settled.own, settled.refused) == (CLASH, {SMALL: Refused.OURS})


def test_a_chosen_address_moves_nobody() -> None:
    """Claiming our address is no way to drive us from it."""
    liar = b"\0" * 31 + b"\1"
    assert CLASH not in ipv4_candidates(liar, NARROW) and liar < LARGE
    settled = book(LARGE).state_untrusted(liar, CLASH)
    assert (settled.own, settled.refused) == (CLASH, {liar: Refused.OURS})


@pytest.mark.parametrize("liar_first", [True, False])
def test_another_peers_address_cannot_be_claimed(liar_first: bool) -> None:
    claims = [(OTHER, CLASH), (LARGE, CLASH)]
    mine = book(b"\x77" * 32)
    for key, address in claims if liar_first else reversed(claims):
        settled = mine.state_untrusted(key, address)
    assert settled.accepted == {LARGE: CLASH}
    assert settled.refused == {OTHER: Refused.TAKEN}


@pytest.mark.parametrize("order", [(SMALL, LARGE), (LARGE, SMALL)])
def test_between_two_peers_the_smaller_key_has_it_whoever_came_first(order: tuple[bytes, bytes]) -> None:
    mine = book(b"\x77" * 32)
    for key in order:
        settled = mine.state_untrusted(key, CLASH)
    assert settled.accepted == {SMALL: CLASH}
    assert settled.refused == {LARGE: Refused.TAKEN}
    assert mine.forget(SMALL).accepted == {LARGE: CLASH}


def test_between_two_chosen_ones_the_first_has_it_and_keeps_it() -> None:
    mine = book(b"\x77" * 32)
    mine.state_untrusted(LARGE, CHOSEN)
    mine.state_untrusted(SMALL, CHOSEN)
    settled = mine.state_untrusted(LARGE, CHOSEN)  # stated again on every connect
    assert (settled.accepted, settled.refused) == ({LARGE: CHOSEN}, {SMALL: Refused.TAKEN})
    assert mine.state_untrusted(LARGE, None).accepted == {SMALL: CHOSEN}


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("192.168.1.9", Refused.LOCAL),
        ("9.9.9.9", Refused.PUBLIC),
        ("0.0.0.0", Refused.NO_HOST),
        ("127.0.0.1", Refused.NO_HOST),
        ("224.0.0.1", Refused.NO_HOST),
        ("255.255.255.255", Refused.NO_HOST),
    ],
)
def test_addresses_that_are_refused(address: str, reason: Refused) -> None:
    mine = AddressBook(SMALL, local=[IPv4Network("192.168.1.0/24")])
    assert mine.state_untrusted(LARGE, IPv4Address(address)).refused == {LARGE: reason}


def test_a_local_network_in_the_way_moves_us_to_another_range() -> None:
    assert AddressBook(SMALL).settle().own in RANGES[0]
    assert AddressBook(SMALL, local=[IPv4Network("100.64.0.0/16")]).settle().own in RANGES[1]


def test_without_a_free_candidate_there_is_no_ipv4_until_one_is() -> None:
    everything = AddressBook(SMALL, local=[IPv4Network("0.0.0.0/0")])
    assert everything.settle().own is None
    full = book(LARGE)
    for number, address in enumerate(dict.fromkeys(ipv4_candidates(LARGE, NARROW))):
        settled = full.state_untrusted(b"\xee" * 31 + bytes([number]), address)
    assert settled.own == CLASH  # chosen addresses do not drive it out
    assert full.state_untrusted(SMALL, CLASH).own is None
    assert full.forget(b"\xee" * 31 + bytes([1])).own is not None


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 25), st.integers(0, 2**32), st.floats(0.1, 1.0))
def test_no_circles_and_the_same_end_on_both_sides(many: int, seed: int, density: float) -> None:
    """Any friendships, any order of delivery: all come to rest, and no two friends share an address."""
    chance = random.Random(seed)
    keys = sorted(chance.randbytes(32) for _ in range(many))
    friends: dict[bytes, list[bytes]] = {key: [] for key in keys}
    for a, b in combinations(keys, 2):
        if chance.random() < density:
            friends[a].append(b)
            friends[b].append(a)
    books = {key: book(key) for key in keys}
    settled = {key: books[key].settle() for key in keys}
    under_way = [(key, friend, settled[key].own) for key in keys for friend in friends[key]]
    deliveries = 0
    while under_way:
        deliveries += 1
        assert deliveries < 50 * many * many
        # statuses of one sender to one receiver arrive in order: take the oldest of a random pair
        sender, receiver, _ = chance.choice(under_way)
        at = next(n for n, entry in enumerate(under_way) if entry[:2] == (sender, receiver))
        address = under_way.pop(at)[2]
        before = settled[receiver].own
        settled[receiver] = books[receiver].state_untrusted(sender, address)
        if settled[receiver].own != before:
            under_way += [(receiver, friend, settled[receiver].own) for friend in friends[receiver]]
    for key in keys:
        mine = settled[key]
        assert len(set(mine.accepted.values())) == len(mine.accepted)
        assert mine.own not in mine.accepted.values()
        for friend in friends[key]:
            theirs = settled[friend]
            assert mine.own is None or mine.own != theirs.own
            if friend in mine.refused:  # only for another friend with a smaller key
                assert mine.refused[friend] is Refused.TAKEN
                assert any(
                    other < friend and settled[other].own == theirs.own and other in mine.accepted
                    for other in friends[key]
                )
            elif theirs.own is not None:
                assert mine.accepted[friend] == theirs.own
