"""The zone: every machine has a name of its own, and a name given here is that of the machine meant."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn.names.label import LabelRefusal
from toxvpn.names.zone import Zone, ZoneMember, bare_label, reverse_name, reversed_address


def key(number: int) -> bytes:
    return bytes([number]) * 32


def labels(*machines: ZoneMember) -> list[str | None]:
    zone = Zone.of(machines)
    return [zone.labels.get(each.public_key) for each in machines]


def test_names_and_addresses_lead_to_each_other() -> None:
    four, six = IPv4Address("100.64.1.2"), IPv6Address("fd74:6f78::2")
    zone = Zone.of([ZoneMember(key(1), "box", "", (six, four)), ZoneMember(key(2), None, "pi", ())])
    assert zone.addresses == {"box": (six, four), "pi": ()}
    assert zone.names == {four: "box.tox.internal", six: "box.tox.internal"}
    assert zone.full_name(key(2)) == "pi.tox.internal"
    assert zone.full_name(key(3)) is None
    assert list(zone.lines()) == ["fd74:6f78::2 box.tox.internal", "100.64.1.2 box.tox.internal"]


def test_of_those_who_call_themselves_alike_the_smallest_key_has_the_name() -> None:
    machines = [ZoneMember(key(number), None, "Box") for number in (3, 1, 2)]
    assert labels(*machines) == ["box-3", "box", "box-2"]
    assert labels(*reversed(machines)) == ["box-2", "box", "box-3"]


def test_a_name_given_here_is_taken_away_by_nobody() -> None:
    assert labels(ZoneMember(key(1), None, "box"), ZoneMember(key(9), "box")) == ["box-2", "box"]
    assert labels(
        ZoneMember(key(1), None, "box-2"), ZoneMember(key(2), None, "box"), ZoneMember(key(9), "box")
    ) == [
        "box-2",
        "box-3",
        "box",
    ]


def test_a_machine_has_the_name_given_here_and_not_its_own_as_well() -> None:
    zone = Zone.of([ZoneMember(key(1), "nas", "box"), ZoneMember(key(2), None, "box")])
    assert zone.labels == {key(1): "nas", key(2): "box"}


def test_what_is_no_name_is_refused_with_its_reason() -> None:
    zone = Zone.of([ZoneMember(key(1), None, "bоx"), ZoneMember(key(2), None, "wpad"), ZoneMember(key(3))])
    assert zone.labels == {}
    assert zone.refused == {key(1): LabelRefusal.CHARACTERS, key(2): LabelRefusal.RESERVED}


def test_a_name_given_here_that_no_host_can_have_leaves_what_the_peer_states() -> None:
    zone = Zone.of([ZoneMember(key(1), "Büro", "office"), ZoneMember(key(2), "Büro")])
    assert zone.labels == {key(1): "office"}
    assert zone.refused == {key(2): LabelRefusal.CHARACTERS}


@pytest.mark.parametrize("text", ["box", "Box.tox.internal", "BOX.TOX.INTERNAL."])
def test_a_whole_name_means_the_same_as_its_label(text: str) -> None:
    assert bare_label(text) == "box"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "arpa",
        "in-addr.arpa",
        "1.100.in-addr.arpa",
        "1.2.3.4.5.in-addr.arpa",
        "x.2.3.4.in-addr.arpa",
        "01.2.3.4.in-addr.arpa",
        "1.ip6.arpa",
        "zz." * 16 + "ip6.arpa",
        "12." * 16 + "ip6.arpa",
        "1.2.3.4.arpa",
    ],
)
def test_other_names_are_not_those_of_addresses(name: str) -> None:
    assert reversed_address(name) is None


@given(st.ip_addresses())
def test_a_reverse_name_is_read_back(address: IPv4Address | IPv6Address) -> None:
    assert reversed_address(reverse_name(address).upper()) == address
    assert reversed_address(reverse_name(str(address)) + ".") == address


names = st.none() | st.sampled_from(["box", "Box", "box-2", "box-3", "Büro", "wpad", "a" * 64]) | st.text()
machines = st.builds(
    ZoneMember,
    st.binary(min_size=1, max_size=2),
    names,
    names.map(lambda name: name or ""),
    st.tuples(st.ip_addresses()),
)


@given(st.lists(machines, max_size=12, unique_by=lambda each: each.public_key), st.randoms())
def test_any_machines_have_names_of_their_own_whatever_their_order(known: list[ZoneMember], random) -> None:  # type: ignore[no-untyped-def]
    zone = Zone.of(known)
    assert len(set(zone.labels.values())) == len(zone.labels) == len(zone.addresses)
    assert all(0 < len(label) <= 63 and label.isascii() for label in zone.labels.values())
    assert not set(zone.labels) & set(zone.refused)
    shuffled = list(known)
    random.shuffle(shuffled)
    assert Zone.of(shuffled).labels == zone.labels
    for line in zone.lines():
        address, name = line.split(" ")
        assert ip_address(address) in zone.addresses[bare_label(name)]
