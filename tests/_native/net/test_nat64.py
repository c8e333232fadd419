"""Which addresses a NAT64 is used for, and how they look outside and inside; tests/netns has a real one."""

import ctypes
from ipaddress import IPv4Address, IPv6Address

import pytest

from toxvpn._native.net import netio
from toxvpn.testing.hooked import Hooked
from toxvpn.testing.sockaddr import pack, unpack

PREFIX = "64:ff9b::"
_C = ctypes.CDLL(netio.__file__)
OUTSIDE = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p)(
    ("nat64_outside", _C)
)
INSIDE = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p)(("nat64_inside", _C))
SET = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_char_p, ctypes.c_char_p)(("nat64_set", _C))
SIZE = 13
"""Bytes of a struct nat64."""
ADDRESS = 28


class Nat64:
    def __init__(self, prefix: str = PREFIX) -> None:
        self._nat64 = ctypes.create_string_buffer(SIZE)
        assert self.set(prefix)

    def set(self, prefix: str) -> bool:
        return bool(SET(self._nat64, prefix.encode()))

    def outside(self, host: str) -> tuple[str, int] | None:
        """Where the kernel reaches that host, port 443; None: there, as it is."""
        out = ctypes.create_string_buffer(ADDRESS)
        return unpack(out.raw) if OUTSIDE(self._nat64, pack(host, 443), out) else None

    def inside(self, host: str) -> str:
        at = ctypes.create_string_buffer(pack(host, 443), ADDRESS)
        INSIDE(self._nat64, at)
        return unpack(at.raw)[0]


@pytest.mark.parametrize("host", ["198.51.100.7", "::ffff:198.51.100.7"])
def test_an_ipv4_address_is_reached_behind_the_prefix(host: str) -> None:
    assert Nat64().outside(host) == ("64:ff9b::c633:6407", 443)


def test_what_comes_from_there_comes_from_the_ipv4_address() -> None:
    assert Nat64().inside("64:ff9b::c633:6407") == "::ffff:198.51.100.7"


@pytest.mark.parametrize("host", ["2001:db8::7", "::1", "febf::7", "64:ff9b::c633:6407"])
def test_addresses_of_ipv6_stay(host: str) -> None:
    assert Nat64().outside(host) is None


def test_who_is_not_behind_the_prefix_stays() -> None:
    assert Nat64().inside("64:ff9b::1:c633:6407") == "64:ff9b::1:c633:6407"


@pytest.mark.parametrize(
    "host",
    [
        *("0.0.0.1", "10.1.2.3", "100.64.0.1", "100.127.0.1", "127.0.0.1", "169.254.0.1"),
        *("172.16.0.1", "172.31.0.1", "192.168.1.2", "224.0.0.1", "255.255.255.255"),
    ],
)
def test_private_addresses_are_never_somebody_elses(host: str) -> None:
    assert Nat64().outside(host) is None and Nat64().outside(f"::ffff:{host}") is None
    behind = str(IPv6Address(int(IPv6Address(PREFIX)) + int(IPv4Address(host))))
    assert Nat64().inside(behind) == behind


@pytest.mark.parametrize(
    "host", ["9.1.2.3", "100.63.0.1", "100.128.0.1", "172.15.0.1", "172.32.0.1", "223.0.0.1"]
)
def test_what_lies_next_to_private_networks_is_public(host: str) -> None:
    assert Nat64().outside(host)


def test_without_a_prefix_all_stays() -> None:
    nat64 = Nat64()
    assert nat64.set("")
    assert nat64.outside("198.51.100.7") is None
    assert nat64.inside("64:ff9b::c633:6407") == "64:ff9b::c633:6407"


@pytest.mark.parametrize("prefix", ["64:ff9b::1", "::ffff:0:0", "192.0.2.0", "x"])
def test_what_is_no_prefix_changes_nothing(prefix: str) -> None:
    nat64 = Nat64()
    assert not nat64.set(prefix)
    assert nat64.outside("198.51.100.7") == ("64:ff9b::c633:6407", 443)


def test_an_owner_has_one() -> None:
    assert Hooked().set_nat64(PREFIX) and not Hooked().set_nat64("64:ff9b::1")
