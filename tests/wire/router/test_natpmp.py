"""NAT-PMP, by the layouts of RFC 6886 (section 3)."""

from ipaddress import IPv4Address
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn.wire.router import natpmp
from toxvpn.wire.router.natpmp import PmpMapped, PmpRefusal

ADDRESS = pack("!BBHI4B", 0, 128, 0, 7, 203, 0, 113, 5)
MAPPED = pack("!BBHIHHI", 0, 129, 0, 7, 33445, 40000, 600)


def test_requests() -> None:
    assert natpmp.ADDRESS_REQUEST == b"\x00\x00"
    assert natpmp.map_request(33445, 40000, 600) == pack("!BBHHHI", 0, 1, 0, 33445, 40000, 600)


def test_answers() -> None:
    assert natpmp.address_untrusted(ADDRESS) == IPv4Address("203.0.113.5")
    assert natpmp.mapped_untrusted(MAPPED, 33445) == PmpMapped(40000, 600)


@pytest.mark.parametrize("rest", [b"", bytes(4), bytes(12)])
def test_a_refusal_may_be_short(rest: bytes) -> None:
    assert natpmp.address_untrusted(pack("!BBH", 0, 128, 2) + rest[:8]) == PmpRefusal(2)
    if len(rest) != 12:
        assert natpmp.mapped_untrusted(pack("!BBH", 0, 129, 3) + rest, 33445) == PmpRefusal(3)
    assert PmpRefusal(3).reason == "it has no network"


def test_a_refusal_of_full_length() -> None:
    assert natpmp.mapped_untrusted(pack("!BBHIHHI", 0, 129, 4, 7, 33445, 0, 0), 33445) == PmpRefusal(4)


@pytest.mark.parametrize("packet", [b"", ADDRESS[:-1], b"\x01" + MAPPED[1:], MAPPED[:2], MAPPED + b"\x00"])
def test_what_is_no_answer(packet: bytes) -> None:
    assert natpmp.address_untrusted(packet) is None
    assert natpmp.mapped_untrusted(packet, 33445) is None


def test_an_answer_for_another_port() -> None:
    assert natpmp.mapped_untrusted(MAPPED, 33446) is None


@given(st.binary(max_size=20))
def test_any_bytes(packet: bytes) -> None:
    natpmp.address_untrusted(packet)
    natpmp.mapped_untrusted(packet, 33445)
