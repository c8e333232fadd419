"""Knocks, as packets."""

from hypothesis import given
from hypothesis import strategies as st

from toxvpn.wire.reach.knock import LAST_TOKEN, PACKET_ID, Knock, KnockKind, decode_untrusted, encode

KNOCKS = st.builds(Knock, st.sampled_from(KnockKind), st.integers(0, LAST_TOKEN))


@given(KNOCKS)
def test_what_is_told_is_understood(told: Knock) -> None:
    packet = encode(told)
    assert (packet[0], len(packet)) == (PACKET_ID, 4)
    assert decode_untrusted(packet) == told


@given(st.binary(min_size=1, max_size=8))
def test_any_bytes_are_understood_or_refused(packet: bytes) -> None:
    told = decode_untrusted(packet)
    assert (told is None) == (len(packet) != 4 or packet[1] > max(KnockKind))
