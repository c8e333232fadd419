"""The packet by which peers tell each other the endpoint at their router."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn.wire.reach import mapped


@given(st.ip_addresses(v=4).map(str).filter(mapped.may_be_public), st.integers(1, 65535))
def test_it_comes_back(host: str, port: int) -> None:
    assert mapped.decode_untrusted(mapped.encode((host, port))) == (host, port)


def test_there_may_be_none_any_more() -> None:
    assert mapped.decode_untrusted(mapped.encode(None)) is None


def test_its_bytes() -> None:
    assert mapped.encode(("203.0.113.5", 40000)) == b"\xce\xcb\x00\x71\x05\x9c\x40"


@pytest.mark.parametrize(
    "host",
    [
        "0.0.0.1", "10.1.2.3", "100.64.0.1", "127.0.0.1", "169.254.0.1", "172.16.0.1",
        "192.168.1.1", "224.0.0.1", "255.255.255.255",
    ],
)  # fmt: skip
def test_no_address_of_the_internet(host: str) -> None:
    assert not mapped.may_be_public(host)
    with pytest.raises(ValueError, match="endpoint"):
        mapped.decode_untrusted(mapped.encode((host, 1)))


@given(st.binary(max_size=12))
def test_any_bytes(content: bytes) -> None:
    packet = bytes([mapped.PACKET_ID]) + content
    try:
        endpoint = mapped.decode_untrusted(packet)
    except ValueError:
        return
    assert mapped.encode(endpoint) == packet


@pytest.mark.parametrize("text", ["", "::1", "203.0.113", "router"])
def test_what_is_no_address(text: str) -> None:
    assert not mapped.may_be_public(text)
