"""Groups: named ones and addresses, checked; what a peer states is believed as far as it is understood."""

from ipaddress import IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn.wire.multicast import MOST_GROUPS, NAMED, addresses, parse_groups, shared, stated_untrusted


def test_names_and_addresses_are_groups() -> None:
    words = ["ssdp", "mdns", "broadcast", "239.1.2.3", "FF05:0::1:3", "mdns"]
    groups = parse_groups(words)
    assert groups == ("239.1.2.3", "broadcast", "ff05::1:3", "mdns", "ssdp")
    assert {str(each) for each in addresses(groups)} == {
        "239.1.2.3", "255.255.255.255", "ff05::1:3",
        "224.0.0.251", "ff02::fb", "239.255.255.250", "ff02::c", "ff05::c",
    }  # fmt: skip
    assert parse_groups([]) == ()


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("bonjour", "give mdns, ssdp, broadcast, or an address"),
        ("MDNS", "give mdns"),
        ("", "is not a group"),
        ("192.168.1.255", "not the address of a multicast group"),
        ("255.255.255.255", "not the address of a multicast group"),
        ("240.0.0.1", "not the address of a multicast group"),
        ("fe80::1", "not the address of a multicast group"),
        ("239.0.0.0/8", "is not a group"),
        ("224.0.0.1", "belongs to one link"),
        ("224.0.0.9", "belongs to one link"),
        ("ff02::1", "belongs to one link"),
        ("ff02::1:2", "belongs to one link"),
        ("ff01::fb", "belongs to one link"),
        ("ff02::fb%eth0", "belongs to one link"),
    ],
)
def test_what_is_no_group_to_carry_is_refused(word: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_groups([word])


def test_there_are_at_most_16_and_never_more_addresses_than_the_datapath_has_room_for() -> None:
    many = [f"239.0.0.{number}" for number in range(MOST_GROUPS - len(NAMED))]
    assert len(addresses(parse_groups([*many, *NAMED]))) <= 32
    with pytest.raises(ValueError, match="17 groups are more than 16"):
        parse_groups([*many, *NAMED, "239.1.1.1"])


def test_both_sides_must_have_chosen_it_whatever_they_call_it() -> None:
    ours = parse_groups(["mdns", "ssdp", "239.1.2.3"])
    assert shared(ours, parse_groups(["239.1.2.3", "broadcast"])) == ("239.1.2.3",)
    assert shared(ours, parse_groups(["224.0.0.251", "ff02::fb"])) == ("mdns",)
    assert shared(ours, parse_groups(["224.0.0.251"])) == (), "half of it is not it"
    assert shared(parse_groups(["ff02::fb"]), parse_groups(["mdns"])) == ("ff02::fb",)
    assert shared((), ours) == shared(ours, ()) == ()


def test_words_of_a_later_version_are_left_out() -> None:
    stated = stated_untrusted(["mdns", "wsd", "224.0.0.1", "10.0.0.1", "239.1.2.3", "239.1.2.3"])
    assert stated == ("239.1.2.3", "mdns")


@pytest.mark.parametrize("words", [["mdns"] * (MOST_GROUPS + 1), ["x" * 40]])
def test_a_flood_of_words_is_refused(words: list[str]) -> None:
    with pytest.raises(ValueError, match=r"^$"):
        stated_untrusted(words)


@given(
    st.lists(st.text(max_size=39) | st.ip_addresses().map(str) | st.sampled_from(sorted(NAMED)), max_size=16)
)
def test_whatever_a_peer_states_makes_groups_that_are_allowed(words: list[str]) -> None:
    groups = stated_untrusted(words)
    assert parse_groups(groups) == groups
    for address in addresses(groups):
        assert address.is_multicast or address == ip_address("255.255.255.255")
        assert not (isinstance(address, IPv6Address) and address.scope_id)
