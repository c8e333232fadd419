"""Packets that follow each other in one lossy packet: what joins, and what is refused as a whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn.wire.bundle import MAX_PACKETS, join, split_untrusted


def packet(version: int, payload_bytes: int, mark: int = 0) -> bytes:
    """Enough of one to have a length."""
    if version == 4:
        return b"\x45\0" + (20 + payload_bytes).to_bytes(2, "big") + bytes(16) + bytes([mark]) * payload_bytes
    return b"\x60\0\0\0" + payload_bytes.to_bytes(2, "big") + bytes(34) + bytes([mark]) * payload_bytes


packets = st.builds(packet, st.sampled_from([4, 6]), st.integers(0, 1300), st.integers(0, 255))


@given(st.lists(packets, max_size=40), st.integers(576, 1368))
def test_what_was_joined_is_split_into_the_same_packets(sent: list[bytes], mtu: int) -> None:
    bundles = join(sent, mtu)
    assert [each for bundle in bundles for each in split_untrusted(bundle)] == sent
    for bundle in bundles:
        several = split_untrusted(bundle)
        assert len(several) <= MAX_PACKETS
        assert len(several) == 1 or len(bundle) <= mtu


def test_small_packets_fill_a_bundle_and_large_ones_go_alone() -> None:
    small, large = packet(4, 208), packet(4, 1280)
    assert join([small] * 7, 1368) == [small * 6, small]
    assert join([small, large, small, small], 1368) == [small, large, small * 2]
    assert join([large, large], 1368) == [large, large]


def test_a_bundle_has_packets_of_one_version() -> None:
    ipv4, ipv6 = packet(4, 10), packet(6, 10)
    assert join([ipv4, ipv4, ipv6, ipv4], 1368) == [ipv4 * 2, ipv6, ipv4]


def test_a_bundle_has_a_bounded_number_of_packets() -> None:
    tiny = packet(4, 0)
    assert join([tiny] * 17, 1368) == [tiny * 16, tiny]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        packet(4, 8) + b"\0",
        packet(4, 8)[:-1],
        packet(4, 8) + packet(4, 8)[:-1],
        packet(4, 8) + packet(6, 8),
        packet(4, 0) * (MAX_PACKETS + 1),
        packet(4, 8) + b"\x45\0\0\x13" + bytes(16),  # shorter than its own header
        packet(4, 8) + b"\x50" + bytes(39),
    ],
    ids=lambda body: body.hex()[:40],
)
def test_what_does_not_add_up_is_refused_as_a_whole(body: bytes) -> None:
    assert split_untrusted(body) == []


@given(st.binary(max_size=200))
def test_noise_is_refused_or_split_without_a_rest(noise: bytes) -> None:
    assert b"".join(split_untrusted(noise)) in (b"", noise)
