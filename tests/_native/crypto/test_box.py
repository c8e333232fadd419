"""Boxes of every kernel against libsodium's, what a wrong tag gives, and which kernel is taken."""

import random
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toxvpn.testing import boxes

KERNELS = boxes.usable_kernels()
NAMES = pytest.mark.parametrize("name", KERNELS)


def text_of(length: int, seed: int = 0) -> bytes:
    return bytes(boxes.ZEROS) + random.Random(length + seed).randbytes(length - boxes.ZEROS)


def key_and_nonce(seed: int) -> tuple[bytes, bytes]:
    source = random.Random(seed)
    return source.randbytes(32), source.randbytes(24)


@NAMES
def test_boxes_of_every_length_are_libsodiums(name: str) -> None:
    kernel = KERNELS[name]
    for length in range(boxes.ZEROS, boxes.LONGEST + 1):
        text, (key, nonce) = text_of(length), key_and_nonce(length // 3)
        box = boxes.sodium_seal(text, nonce, key)
        in_place, offset = bool(length % 2), length % 64
        assert boxes.seal(kernel, text, nonce, key, offset, in_place) == box, length
        assert boxes.open_box(kernel, box, nonce, key, offset, in_place) == text, length


@NAMES
@settings(max_examples=100, deadline=None)
@given(
    length=st.integers(boxes.ZEROS, boxes.LONGEST),
    offset=st.integers(0, 63),
    seed=st.integers(0, 2**32),
    in_place=st.booleans(),
)
def test_what_is_sealed_opens(name: str, length: int, offset: int, seed: int, in_place: bool) -> None:
    text, (key, nonce) = text_of(length, seed), key_and_nonce(seed)
    box = boxes.seal(KERNELS[name], text, nonce, key, offset, in_place)
    assert box == boxes.sodium_seal(text, nonce, key)
    assert boxes.sodium_open(box, nonce, key) == text
    assert boxes.open_box(KERNELS[name], box, nonce, key, offset, in_place) == text


@NAMES
@pytest.mark.parametrize("length", [boxes.ZEROS, 33, 104, 264, 1413, boxes.LONGEST])
def test_one_wrong_bit_anywhere_opens_nothing(name: str, length: int) -> None:
    """Of the tag every bit, of the rest and of nonce and key some."""
    text, (key, nonce) = text_of(length), key_and_nonce(length)
    box = boxes.seal(KERNELS[name], text, nonce, key)
    bits = [*range(16 * 8, 32 * 8), *range(32 * 8, length * 8, 131), *range((length - 1) * 8, length * 8)]
    for bit in bits:
        forged = bytearray(box)
        forged[bit // 8] ^= 1 << bit % 8
        if bit // 8 >= 16:
            assert boxes.open_box(KERNELS[name], bytes(forged), nonce, key) is None, bit
            assert boxes.open_box(KERNELS[name], bytes(forged), nonce, key, in_place=True) is None, bit
    assert boxes.open_box(KERNELS[name], box, nonce[:-1] + bytes([nonce[-1] ^ 1]), key) is None
    assert boxes.open_box(KERNELS[name], box, bytes([nonce[0] ^ 16]) + nonce[1:], key) is None
    assert boxes.open_box(KERNELS[name], box, nonce, key[:-1] + bytes([key[-1] ^ 1])) is None


def test_no_subkey_is_taken_for_anothers() -> None:
    """Keys and nonces that differ in one place, many by turns, and again when their places are taken."""
    text = text_of(64)
    keys = [bytes(32), b"\1" + bytes(31), bytes(31) + b"\1"]
    nonces = [bytes(24), *(bytes(i) + b"\1" + bytes(23 - i) for i in range(24))]
    for _ in range(2):
        for key in keys:
            for nonce in nonces:
                assert boxes.seal(boxes.PORTABLE, text, nonce, key) == boxes.sodium_seal(text, nonce, key)


def test_threads_have_subkeys_of_their_own() -> None:
    """ctypes lets go of the interpreter while C runs, so these do run at the same time."""
    wrong = []

    def work(seed: int) -> None:
        for i in range(400):
            text, (key, nonce) = text_of(200, i), key_and_nonce(seed * 1000 + i % 20)
            if boxes.seal(boxes.PORTABLE, text, nonce, key) != boxes.sodium_seal(text, nonce, key):
                wrong.append((seed, i))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("bit", [0, 127])
def test_a_kernel_that_differs_from_libsodium_is_not_used(bit: int) -> None:
    def spoil(tag: bytes) -> bytes:
        return (int.from_bytes(tag, "little") ^ 1 << bit).to_bytes(16, "little")

    wrong = boxes.broken(boxes.PORTABLE, spoil)
    assert boxes.choose([wrong, boxes.PORTABLE]) == ("portable", "")
    name, why = boxes.choose([wrong])
    assert name is None
    assert "differs from libsodium" in why
    assert boxes.choose([])[1] == "this processor has nothing faster than libsodium"


def test_every_kernel_agrees_with_this_libsodium() -> None:
    for name, kernel in KERNELS.items():
        assert boxes.choose([kernel]) == (name, "")
