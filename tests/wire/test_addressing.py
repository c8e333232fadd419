from hashlib import blake2b
from ipaddress import IPv4Address, IPv4Network, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn.wire.addressing import (
    CANDIDATES,
    OVERLAY_IPV6,
    RANGES,
    free_ranges,
    ipv4_candidate,
    ipv4_candidates,
    is_host_address,
    is_ipv4_candidate,
    overlay_ipv6,
)

keys = st.binary(min_size=32, max_size=32)


def test_ipv6_is_the_prefix_and_96_bits_of_the_personalised_hash() -> None:
    key = bytes(range(32))
    expected = b"\xfd\x74\x6f\x78" + blake2b(key, digest_size=12, person=b"toxvpn ipv6").digest()
    assert overlay_ipv6(key).packed == expected


def test_addresses_never_change() -> None:
    """Both ends derive them, so every version must derive the same."""
    assert overlay_ipv6(bytes(32)) == IPv6Address("fd74:6f78:27e6:96b7:b09a:93da:a71c:9ea9")
    assert next(ipv4_candidates(bytes(32))) == IPv4Address("100.112.39.109")


@given(keys)
def test_ipv6_lies_in_the_overlay(key: bytes) -> None:
    assert overlay_ipv6(key) in OVERLAY_IPV6


@given(keys, st.sampled_from(RANGES), st.integers(0, CANDIDATES - 1))
def test_candidates_are_host_addresses_in_their_range(key: bytes, network: IPv4Network, counter: int) -> None:
    address = ipv4_candidate(key, network, counter)
    assert address in network
    assert address.packed[3] not in {0, 255}
    assert is_host_address(address)
    assert is_ipv4_candidate(key, address)


@given(keys, keys)
def test_another_key_cannot_claim_a_candidate(key: bytes, other: bytes) -> None:
    if set(ipv4_candidates(key)).isdisjoint(ipv4_candidates(other)):
        assert not any(is_ipv4_candidate(other, address) for address in ipv4_candidates(key))


def test_candidates_spread_over_the_range() -> None:
    found = {ipv4_candidate(key.to_bytes(32, "big"), RANGES[0], 0) for key in range(2000)}
    assert len(found) > 1990
    assert len({address.packed[1] for address in found}) == 64


@given(keys)
def test_the_first_range_goes_first(key: bytes) -> None:
    row = list(ipv4_candidates(key))
    assert len(row) == CANDIDATES * len(RANGES)
    assert all(address in RANGES[0] for address in row[:CANDIDATES])


def test_a_local_network_takes_the_range_out() -> None:
    assert free_ranges([]) == RANGES
    assert free_ranges([IPv4Network("100.101.102.103/32")]) == RANGES[1:]
    assert free_ranges([IPv4Network("10.0.0.0/8"), IPv4Network("192.168.1.0/24")]) == (RANGES[0], RANGES[2])
    assert free_ranges([IPv4Network("0.0.0.0/0")]) == ()


@pytest.mark.parametrize(
    "address", ["0.0.0.0", "0.1.2.3", "127.0.0.1", "169.254.1.1", "224.0.0.1", "240.1.1.1"]
)
def test_what_no_host_has(address: str) -> None:
    assert not is_host_address(IPv4Address(address))


@pytest.mark.parametrize("address", ["100.64.0.1", "10.203.0.2", "192.168.1.1", "203.0.113.7"])
def test_what_a_host_may_have(address: str) -> None:
    assert is_host_address(IPv4Address(address))
