"""What a relay tells its friends of each other."""

import os

from hypothesis import given
from hypothesis import strategies as st

from toxvpn.wire.reach.relayoffer import MOST, PACKET_ID, decode_untrusted, encode, tag

RELAY, READER, *FRIENDS = (os.urandom(32) for _ in range(6))


@given(st.dictionaries(st.integers(0, 255), st.sampled_from(FRIENDS), max_size=4))
def test_who_knows_a_friend_finds_it(friends: dict[int, bytes]) -> None:
    packet = encode(RELAY, READER, friends)
    assert packet[0] == PACKET_ID
    found = decode_untrusted(packet, RELAY, READER, FRIENDS)
    assert found is not None
    assert {key: friends[index] for key, index in found.items()} == {key: key for key in friends.values()}


def test_a_packet_tells_nothing_of_keys() -> None:
    packet = encode(RELAY, READER, {7: FRIENDS[0]})
    assert len(packet) == 10
    assert decode_untrusted(packet, RELAY, READER, FRIENDS[1:]) == {}
    assert FRIENDS[0][:8] not in packet


def test_a_tag_is_of_one_relay_and_one_reader() -> None:
    packet = encode(RELAY, READER, {7: FRIENDS[0]})
    assert decode_untrusted(packet, FRIENDS[1], READER, FRIENDS) == {}
    assert decode_untrusted(packet, RELAY, FRIENDS[1], FRIENDS) == {}
    assert len({tag(RELAY, READER, key) for key in FRIENDS}) == len(FRIENDS)


def test_nobody_is_told_of_itself() -> None:
    packet = encode(RELAY, READER, {1: READER, 2: RELAY})
    assert decode_untrusted(packet, RELAY, READER, [READER, RELAY]) == {}


@given(st.binary(min_size=1, max_size=600))
def test_any_bytes_are_understood_or_refused(packet: bytes) -> None:
    told = decode_untrusted(packet, RELAY, READER, FRIENDS)
    assert (told is None) == (len(packet) % 9 != 1 or len(packet) > 1 + 9 * MOST)


def test_no_more_are_told_than_are_understood() -> None:
    packet = encode(RELAY, READER, dict.fromkeys(range(200), FRIENDS[0]))
    assert decode_untrusted(packet, RELAY, READER, FRIENDS) == {FRIENDS[0]: MOST - 1}
