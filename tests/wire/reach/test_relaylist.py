"""The relays that peers tell each other of."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn.wire.reach.introduction import KEY_BYTES, NodeAt
from toxvpn.wire.reach.relaylist import MOST, PACKET_ID, decode_untrusted, encode

KEY = bytes(range(32))
HOSTS = st.sampled_from(["192.0.2.1", "10.0.0.1", "2001:db8::1", "198.51.100.254"])
RELAYS = st.lists(
    st.builds(
        NodeAt, HOSTS, st.integers(1, 65535), st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES), st.just(True)
    ),
    max_size=MOST,
)


@given(RELAYS)
def test_what_is_told_is_understood(relays: list[NodeAt]) -> None:
    packet = encode(relays)
    assert packet[0] == PACKET_ID
    assert len(packet) == 1 + 50 * len(relays)
    assert decode_untrusted(packet) == tuple(relays)


@given(st.binary(min_size=1, max_size=300))
def test_any_bytes_are_understood_or_refused(packet: bytes) -> None:
    told = decode_untrusted(packet)
    assert (told is None) == (len(packet) % 50 != 1 or len(packet) > 201)


def test_no_more_are_told_than_are_understood() -> None:
    assert decode_untrusted(encode([NodeAt("192.0.2.1", 1, KEY, relay=True)] * 9)) is not None


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "0.0.0.0", "224.0.0.1", "169.254.1.1", "::1", "::", "fe80::1", "ff02::1"]
)
def test_nobody_sends_us_to_ourselves_or_to_no_host(host: str) -> None:
    assert decode_untrusted(encode([NodeAt(host, 80, KEY)])) == ()


def test_a_port_is_not_zero() -> None:
    assert decode_untrusted(encode([NodeAt("192.0.2.1", 0, KEY)])) == ()
