"""What a toxvpn tells the local network."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn.wire.reach.hello import GREETING_BYTES, KEY_BYTES, Greeting, decode_untrusted, encode, is_local

GREETINGS = st.builds(Greeting, st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES), st.integers(1, 65535))


@given(GREETINGS)
def test_a_greeting_is_understood(greeting: Greeting) -> None:
    datagram = encode(greeting)
    assert len(datagram) == GREETING_BYTES == 42
    assert decode_untrusted(datagram) == greeting


@given(st.binary(max_size=80))
def test_any_bytes_are_understood_or_refused(datagram: bytes) -> None:
    greeting = decode_untrusted(datagram)
    assert greeting is None or encode(greeting) == datagram


@given(GREETINGS, st.integers(0, 7), st.integers(1, 255))
def test_another_magic_is_another_protocol(greeting: Greeting, place: int, change: int) -> None:
    datagram = bytearray(encode(greeting))
    datagram[place] ^= change
    assert decode_untrusted(bytes(datagram)) is None


def test_nobody_is_at_port_0() -> None:
    assert decode_untrusted(encode(Greeting(bytes(KEY_BYTES), 0))) is None


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("192.168.1.9", True),
        ("10.0.0.1", True),
        ("172.31.255.1", True),
        ("169.254.3.4", True),
        ("100.64.0.2", True),
        ("172.32.0.1", False),
        ("203.0.113.9", False),
        ("127.0.0.1", False),
    ],
)
def test_what_is_local(host: str, local: bool) -> None:
    assert is_local(host) is local
