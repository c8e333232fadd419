"""Every kernel that this processor can run, against libsodium's primitives."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toxvpn.testing import boxes

KERNELS = boxes.usable_kernels()
pytestmark = pytest.mark.parametrize("name", KERNELS)


def some(length: int, seed: int = 0) -> bytes:
    return random.Random(length * 7 + seed).randbytes(length)


def test_key_streams_of_every_length(name: str) -> None:
    key, nonce = some(32), some(24)
    subkey, whole = boxes.sodium_subkey(key, nonce), boxes.sodium_keystream(boxes.LONGEST, key, nonce)
    for length in range(boxes.LONGEST + 1):
        got = boxes.keystream(KERNELS[name], length, subkey, nonce[16:], length % 64)
        assert got == whole[:length], length


def test_tags_of_every_length(name: str) -> None:
    for length in range(boxes.LONGEST + 1):
        text, key = some(length), some(32, length)
        assert boxes.mac(KERNELS[name], text, key, length % 64) == boxes.sodium_mac(text, key), length


@pytest.mark.parametrize("byte", [0, 1, 0x7F, 0x80, 0xFB, 0xFC, 0xFF])
def test_tags_where_carries_go_far(name: str, byte: int) -> None:
    """All ones as text, as r and as s, and texts whose number is the modulus, or just beside it."""
    keys = [b"\xff" * 32, bytes([byte]) * 32, b"\x01" + bytes(15) + b"\xff" * 16, b"\x02" + bytes(31)]
    kernel = KERNELS[name]
    for length in (0, 1, 15, 16, 17, 63, 64, 65, 255, 256, 300, 512, 1024, 1372, 2048):
        for key in keys:
            for text in (bytes([byte]) * length, (bytes([byte]) + b"\xff" * 15) * (length // 16)):
                assert boxes.mac(kernel, text, key) == boxes.sodium_mac(text, key), (length, key, text[:32])


EDGES = st.sampled_from([b"\0", b"\xff", b"\xfb", b"\xfa", b"\x01", b"\x80"])
RUNS = EDGES.flatmap(lambda byte: st.integers(1, 160).map(byte.__mul__))
PIECES = st.lists(st.one_of(st.binary(max_size=48), RUNS))
KEYS = st.one_of(st.binary(min_size=32, max_size=32), EDGES.map(lambda byte: byte * 32))


@settings(max_examples=150, deadline=None)
@given(text=PIECES.map(b"".join), key=KEYS, offset=st.integers(0, 63))
def test_tags_of_any_text(name: str, text: bytes, key: bytes, offset: int) -> None:
    assert boxes.mac(KERNELS[name], text, key, offset) == boxes.sodium_mac(text, key)


@settings(max_examples=100, deadline=None)
@given(key=KEYS, nonce=st.binary(min_size=24, max_size=24), length=st.integers(0, boxes.LONGEST))
def test_key_streams_of_any_key(name: str, key: bytes, nonce: bytes, length: int) -> None:
    got = boxes.keystream(KERNELS[name], length, boxes.sodium_subkey(key, nonce), nonce[16:])
    assert got == (boxes.sodium_keystream(length, key, nonce) if length else b"")
