"""What peers tell each other of where they are."""

from hypothesis import given
from hypothesis import strategies as st

from toxvpn.wire.reach.whereabouts import KEY_BYTES, PACKET_ID, Whereabouts, decode_untrusted, encode

KEYS = st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES)


@given(st.builds(Whereabouts, KEYS, st.booleans(), st.booleans()))
def test_what_is_told_is_understood(told: Whereabouts) -> None:
    packet = encode(told)
    assert packet[0] == PACKET_ID
    assert len(packet) == 34
    assert decode_untrusted(packet) == told


@given(st.binary(max_size=80))
def test_any_bytes_are_understood_or_refused(packet: bytes) -> None:
    told = decode_untrusted(packet)
    assert (told is None) == (len(packet) != 34)


def test_flags_of_later_versions_are_ignored() -> None:
    assert decode_untrusted(bytes([PACKET_ID, 0xFE]) + bytes(KEY_BYTES)) == Whereabouts(
        bytes(KEY_BYTES), asks=False, moved=True
    )
