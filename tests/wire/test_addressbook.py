import random
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from itertools import combinations, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toxvpn.wire.addressbook import AddressBook, AddressRefusal, AllowedAddresses, Assignment
from toxvpn.wire.addressing import RANGES, free_ranges, ipv4_candidates

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


def state(mine: AddressBook, key: bytes, *addresses: IPv4Address | None) -> Assignment:
    return mine.state_untrusted(key, [each for each in addresses if each is not None])


def firsts(settled: Assignment) -> dict[bytes, IPv4Address]:
    """What each peer is known by."""
    return {key: next(iter(sources)) for key, sources in settled.accepted.items()}


def test_alone_a_node_has_its_first_candidate() -> None:
    assert book(SMALL).assign() == Assignment((CLASH,), {}, {})


def test_the_larger_key_moves_and_both_know_it() -> None:
    small, large = book(SMALL), book(LARGE)
    before = state(small, LARGE, CLASH)
    assert (before.own, before.refused) == ((CLASH,), {LARGE: AddressRefusal.OURS})
    moved = state(large, SMALL, CLASH)
    assert moved.own == (list(ipv4_candidates(LARGE, NARROW))[1],)
    assert firsts(moved) == {SMALL: CLASH}
    assert firsts(state(small, LARGE, *moved.own)) == {LARGE: moved.own[0]}


def test_moving_passes_over_every_stated_address() -> None:
    second, third = list(ipv4_candidates(LARGE, NARROW))[1:3]
    large = book(LARGE)
    state(large, OTHER, second)
    assert state(large, SMALL, CLASH).own == (third,)


def test_a_requested_address_never_moves() -> None:
    large = book(LARGE, requested=CLASH)
    settled = state(large, SMALL, CLASH)
    assert (settled.own, settled.refused) == ((CLASH,), {SMALL: AddressRefusal.OURS})


def test_a_chosen_address_moves_nobody() -> None:
    """Claiming our address is no way to drive us from it."""
    liar = b"\0" * 31 + b"\1"
    assert CLASH not in ipv4_candidates(liar, NARROW) and liar < LARGE
    settled = state(book(LARGE), liar, CLASH)
    assert (settled.own, settled.refused) == ((CLASH,), {liar: AddressRefusal.OURS})


@pytest.mark.parametrize("liar_first", [True, False])
def test_another_peers_address_cannot_be_claimed(liar_first: bool) -> None:
    claims = [(OTHER, CLASH), (LARGE, CLASH)]
    mine = book(b"\x77" * 32)
    for key, address in claims if liar_first else reversed(claims):
        settled = state(mine, key, address)
    assert firsts(settled) == {LARGE: CLASH}
    assert settled.refused == {OTHER: AddressRefusal.TAKEN}


@pytest.mark.parametrize("order", [(SMALL, LARGE), (LARGE, SMALL)])
def test_between_two_peers_the_smaller_key_has_it_whoever_came_first(order: tuple[bytes, bytes]) -> None:
    mine = book(b"\x77" * 32)
    for key in order:
        settled = state(mine, key, CLASH)
    assert firsts(settled) == {SMALL: CLASH}
    assert settled.refused == {LARGE: AddressRefusal.TAKEN}
    assert firsts(mine.forget(SMALL)) == {LARGE: CLASH}


def test_between_two_chosen_ones_the_first_has_it_and_keeps_it() -> None:
    mine = book(b"\x77" * 32, allowed=AllowedAddresses(network=IPv4Network("10.203.0.0/24")))
    state(mine, LARGE, CHOSEN)
    state(mine, SMALL, CHOSEN)
    settled = state(mine, LARGE, CHOSEN)  # stated again on every connect
    assert (firsts(settled), settled.refused) == ({LARGE: CHOSEN}, {SMALL: AddressRefusal.TAKEN})
    assert firsts(state(mine, LARGE, None)) == {SMALL: CHOSEN}


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("192.168.1.9", AddressRefusal.LOCAL),
        ("9.9.9.9", AddressRefusal.PUBLIC),
        ("0.0.0.0", AddressRefusal.NO_HOST),
        ("127.0.0.1", AddressRefusal.NO_HOST),
        ("224.0.0.1", AddressRefusal.NO_HOST),
        ("255.255.255.255", AddressRefusal.NO_HOST),
    ],
)
def test_addresses_that_are_refused(address: str, reason: AddressRefusal) -> None:
    mine = AddressBook(SMALL, local=[IPv4Network("192.168.1.0/24")])
    assert state(mine, LARGE, IPv4Address(address)).refused == {LARGE: reason}


def test_a_local_network_in_the_way_moves_us_to_another_range() -> None:
    assert AddressBook(SMALL).assign().own[0] in RANGES[0]
    assert AddressBook(SMALL, local=[IPv4Network("100.64.0.0/16")]).assign().own[0] in RANGES[1]


def test_without_a_free_candidate_there_is_no_ipv4_until_one_is() -> None:
    everything = AddressBook(SMALL, local=[IPv4Network("0.0.0.0/0")])
    assert everything.assign().own == ()
    full = book(LARGE)
    for number, address in enumerate(dict.fromkeys(ipv4_candidates(LARGE, NARROW))):
        settled = state(full, b"\xee" * 31 + bytes([number]), address)
    assert settled.own == (CLASH,)  # chosen addresses do not drive it out
    assert state(full, SMALL, CLASH).own == ()
    assert full.forget(b"\xee" * 31 + bytes([1])).own


# -- chosen addresses ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address", ["10.20.30.40", "172.16.0.53", "192.168.178.1", "10.96.0.10", "100.100.100.100", "10.203.0.2"]
)
def test_a_chosen_address_takes_a_yes(address: str) -> None:
    """It may be the router of the next place, or a host behind the one that we have now."""
    mine, chosen = AddressBook(SMALL), IPv4Address(address)
    settled = state(mine, OTHER, chosen)
    assert (settled.accepted, settled.refused) == ({}, {OTHER: AddressRefusal.CHOSEN})
    assert mine.allow(AllowedAddresses({LARGE: chosen})).refused == {OTHER: AddressRefusal.CHOSEN}
    assert firsts(mine.allow(AllowedAddresses({OTHER: chosen}))) == {OTHER: chosen}
    assert mine.allow(AllowedAddresses()).accepted == {}


def test_a_yes_to_the_network_is_one_to_its_hosts() -> None:
    mine = AddressBook(SMALL, allowed=AllowedAddresses(network=IPv4Network("10.203.0.0/24")))
    assert firsts(state(mine, OTHER, CHOSEN)) == {OTHER: CHOSEN}
    for neither in ("10.203.0.0", "10.203.0.255", "10.203.1.1"):
        assert state(mine, OTHER, IPv4Address(neither)).refused == {OTHER: AddressRefusal.CHOSEN}


def test_what_is_named_for_one_peer_is_no_other_ones() -> None:
    allowed = AllowedAddresses({LARGE: CHOSEN}, IPv4Network("10.203.0.0/24"))
    mine = AddressBook(SMALL, allowed=allowed)
    assert state(mine, OTHER, CHOSEN).refused == {OTHER: AddressRefusal.CHOSEN}
    assert firsts(state(mine, LARGE, CHOSEN)) == {LARGE: CHOSEN}


def test_only_the_first_of_several_may_be_chosen() -> None:
    derived = [next(ipv4_candidates(OTHER, [each])) for each in RANGES]
    mine = AddressBook(SMALL, allowed=AllowedAddresses({OTHER: CHOSEN}))
    settled = state(mine, OTHER, derived[0], CHOSEN, derived[1])
    assert set(settled.accepted[OTHER]) == {derived[0], derived[1]}
    many = [IPv4Address(number) for number in range(int(CHOSEN) + 1, int(CHOSEN) + 100)]
    assert set(state(mine, OTHER, derived[0], *many, derived[1]).accepted[OTHER]) == {derived[0]}


# -- what is local, and what becomes it ---------------------------------------------------------


def test_what_becomes_local_wins() -> None:
    mine = AddressBook(SMALL, allowed=AllowedAddresses({OTHER: CHOSEN}))
    derived = next(ipv4_candidates(LARGE))
    state(mine, OTHER, CHOSEN)
    state(mine, LARGE, derived)
    settled = mine.set_local([IPv4Network("10.203.0.0/16")], [IPv4Network(derived)])
    assert settled.refused == {OTHER: AddressRefusal.LOCAL, LARGE: AddressRefusal.LOCAL}
    assert firsts(mine.set_local([])) == {OTHER: CHOSEN, LARGE: derived}


def test_so_it_is_with_our_own() -> None:
    mine = AddressBook(SMALL)
    [own] = mine.assign().own
    assert mine.set_local([], [IPv4Network(own)]).own == (list(ipv4_candidates(SMALL))[1],)
    asked_for = AddressBook(SMALL, requested=CHOSEN)
    assert asked_for.set_local([IPv4Network("10.203.0.0/16")]).own == (own,), "rather than no IPv4 at all"
    assert asked_for.set_local([IPv4Network("10.203.0.9/32")]).own == (CHOSEN,), "as the person wants it"
    assert asked_for.set_local([]).own == (CHOSEN,)


def test_a_range_with_something_local_in_it_is_left() -> None:
    mine = AddressBook(SMALL)
    [own] = mine.assign().own
    tailscale = [IPv4Network("100.99.98.97/32")]
    assert mine.set_local([], tailscale).own == (own,)
    assert mine.set_local(tailscale).own == (next(ipv4_candidates(SMALL, RANGES[1:])),)


def test_two_in_different_ranges_meet_in_one_that_both_can_use() -> None:
    with_tailscale, without = AddressBook(SMALL, local=[IPv4Network("100.99.98.97/32")]), AddressBook(LARGE)
    here, there = with_tailscale.assign().own, without.assign().own
    assert here[0] in RANGES[1] and there[0] in RANGES[0]
    there = state(without, SMALL, *here).own
    here = state(with_tailscale, LARGE, *there).own
    assert [[each in network for network in RANGES].index(True) for each in there] == [0, 1, 2]
    assert [[each in network for network in RANGES].index(True) for each in here] == [1, 2, 0]
    sources, back = (
        state(with_tailscale, LARGE, *there).accepted[LARGE],
        state(without, SMALL, *here).accepted[SMALL],
    )
    assert next(iter(sources.items())) == (there[1], here[0])
    assert next(iter(back.items())) == (here[0], there[1])


def test_a_third_one_stays_as_it_is() -> None:
    third = AddressBook(OTHER)
    [own] = third.assign().own
    everywhere = [next(ipv4_candidates(LARGE, [network])) for network in RANGES]
    assert state(third, LARGE, *everywhere).own == (own,)


def test_an_address_once_taken_stays() -> None:
    """Connections use it. What has come back to the first range says so first."""
    mine = AddressBook(SMALL, local=[IPv4Network("100.99.98.97/32")])
    state(mine, LARGE, next(ipv4_candidates(LARGE)))
    assert mine.set_local([]).own == tuple(next(ipv4_candidates(SMALL, [network])) for network in RANGES)
    assert len(mine.forget(LARGE).own) == len(RANGES)


# -- many of them -------------------------------------------------------------------------------


class World:
    """Nodes with random friendships; statuses are delivered in any order, but of each to each in turn."""

    def __init__(self, seed: int, books: dict[bytes, AddressBook], density: float) -> None:
        self.chance = random.Random(seed)
        self.books = books
        self.settled = {key: book.assign() for key, book in books.items()}
        self.friends: dict[bytes, list[bytes]] = {key: [] for key in books}
        for a, b in combinations(books, 2):
            if self.chance.random() < density:
                self.friends[a].append(b)
                self.friends[b].append(a)
        self._under_way: list[tuple[bytes, bytes, tuple[IPv4Address, ...]]] = []
        for key in books:
            self._state(key)

    def _state(self, sender: bytes) -> None:
        self._under_way += [(sender, friend, self.settled[sender].own) for friend in self.friends[sender]]

    def set_local(self, key: bytes, *local: IPv4Network) -> None:
        self._become(key, self.books[key].set_local(local))

    def _become(self, key: bytes, settled: Assignment) -> None:
        before, self.settled[key] = self.settled[key].own, settled
        if settled.own != before:
            self._state(key)

    def deliver(self) -> bool:
        """The oldest status of a random pair; False when nothing is under way."""
        if not self._under_way:
            return False
        sender, receiver, _ = self.chance.choice(self._under_way)
        at = next(n for n, entry in enumerate(self._under_way) if entry[:2] == (sender, receiver))
        addresses = self._under_way.pop(at)[2]
        self._become(receiver, self.books[receiver].state_untrusted(sender, addresses))
        return True

    def come_to_rest(self) -> None:
        for _ in range(50 * len(self.books) ** 2):
            if not self.deliver():
                return
        pytest.fail("it goes in circles")


def random_keys(many: int, seed: int) -> Iterator[bytes]:
    chance = random.Random(~seed)
    return (chance.randbytes(32) for _ in range(many))


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 25), st.integers(0, 2**32), st.floats(0.1, 1.0))
def test_no_circles_and_the_same_end_on_both_sides(many: int, seed: int, density: float) -> None:
    """Any friendships, any order of delivery: all come to rest, and no two friends share an address."""
    world = World(seed, {key: book(key) for key in random_keys(many, seed)}, density)
    world.come_to_rest()
    for key, mine in world.settled.items():
        accepted = firsts(mine)
        assert len(set(accepted.values())) == len(accepted)
        assert not set(mine.own) & set(accepted.values())
        for friend in world.friends[key]:
            theirs = world.settled[friend].own
            assert not set(mine.own) & set(theirs)
            if friend in mine.refused:  # only for another friend with a smaller key
                assert mine.refused[friend] is AddressRefusal.TAKEN
                assert any(
                    other < friend and world.settled[other].own == theirs and other in accepted
                    for other in world.friends[key]
                )
            elif theirs and mine.own:
                assert accepted[friend] == theirs[0]


crowds = st.lists(
    st.sampled_from(["100.99.98.97/32", "100.64.0.0/10", "10.0.0.0/8", "198.18.0.0/24"]), max_size=2
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(crowds, crowds), min_size=2, max_size=8), st.integers(0, 2**32), st.floats(0.2, 1.0)
)
def test_friends_reach_each_other_wherever_both_have_a_free_range(
    machines: list[tuple[list[str], list[str]]], seed: int, density: float
) -> None:
    """Whatever each machine uses, at first and later: what one sends first of all, the other takes."""
    books = {key: AddressBook(key) for key in random_keys(len(machines), seed)}
    at_first, later = (
        {
            key: [IPv4Network(each) for each in machine[when]]
            for key, machine in zip(books, machines, strict=True)
        }
        for when in (0, 1)
    )
    for key, mine in books.items():
        mine.set_local(at_first[key])
    world = World(seed, books, density)
    for key in books:
        for _ in range(world.chance.randrange(10)):
            world.deliver()
        world.set_local(key, *later[key])
    world.come_to_rest()
    for key, friend in permutations(books, 2):
        if friend not in world.friends[key]:
            continue
        if not set(free_ranges(later[key])) & set(free_ranges(later[friend])):
            continue
        destination, source = next(iter(world.settled[key].accepted[friend].items()))
        assert source in world.settled[key].own
        assert destination in world.settled[friend].own
        assert source in world.settled[friend].accepted[key]


def test_who_has_said_nothing_is_presumed_to_have_its_usual_address() -> None:
    mine = book(OTHER)
    assert mine.presume(SMALL).presumed == {SMALL: {CLASH: first(OTHER)}}
    stated = list(ipv4_candidates(SMALL, NARROW))[1]
    settled = state(mine, SMALL, stated)
    assert (settled.presumed, firsts(settled)) == ({}, {SMALL: stated})
    assert mine.presume(SMALL) == settled
    assert mine.forget(SMALL).accepted == {}


def test_presuming_takes_nothing_from_anybody() -> None:
    mine = book(OTHER)
    mine.presume(MIDDLE)
    assert mine.presume(LARGE).presumed == {MIDDLE: {CLASH: first(OTHER)}}
    settled = state(mine, LARGE, CLASH)
    assert (settled.presumed, firsts(settled)) == ({}, {LARGE: CLASH})
    assert mine.forget(LARGE).presumed == {MIDDLE: {CLASH: first(OTHER)}}
    assert mine.forget(MIDDLE).presumed == {}


def test_several_are_presumed_at_once_in_one_assignment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A start has all peers, and an assignment looks at each."""
    mine, settled = book(OTHER), []

    def assign() -> Assignment:
        settled.append(AddressBook.assign(mine))
        return settled[-1]

    monkeypatch.setattr(mine, "assign", assign)
    assert mine.presume(LARGE, MIDDLE).presumed == {MIDDLE: {CLASH: first(OTHER)}}
    assert len(settled) == 1


def test_presuming_moves_nobody() -> None:
    large = book(LARGE)
    assert large.presume(SMALL) == Assignment((CLASH,), {}, {})


def test_an_allowed_address_is_presumed() -> None:
    mine = book(OTHER, allowed=AllowedAddresses({SMALL: CHOSEN}))
    assert list(mine.presume(SMALL).presumed[SMALL]) == [CHOSEN]


def test_nothing_is_presumed_where_the_range_is_in_use() -> None:
    mine = book(OTHER, requested=CHOSEN, local=NARROW)
    assert mine.presume(SMALL) == Assignment((CHOSEN,), {}, {})
