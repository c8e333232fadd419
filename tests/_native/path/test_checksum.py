"""The sum of the Internet checksum, with vectors and without, of every length and at every place."""

import os
import sys
from pathlib import Path

import pytest

from toxvpn.testing import native_units

LENGTHS = [*range(1, 300), *range(1300, 1400), 65_535]
ROOM = 66_000


def plain(data: bytes | memoryview) -> int:
    """RFC 1071, word by word; of bytes that are not all zero, never 0."""
    padded = bytes(data) + bytes(len(data) % 2)
    total = sum(memoryview(padded).cast("H"))
    return (total - 1) % 0xFFFF + 1 if total else 0


@pytest.mark.parametrize("fill", ["random", "ones", "zeros"])
def test_it_is_that_of_the_words(fill: str) -> None:
    source = memoryview({"random": os.urandom(ROOM), "ones": b"\xff" * ROOM, "zeros": bytes(ROOM)}[fill])
    for number, length in enumerate(LENGTHS):
        data = source[number % 33 :][:length]
        copy = memoryview(bytearray(b"\x55" * (length + 64)))
        place = number % 31
        expected = plain(data)
        assert native_units.checksum(data) == expected
        assert native_units.copy_checksum(copy[place:], data) == expected
        assert copy[place : place + length] == data
        assert bytes(copy[:place]) + bytes(copy[place + length :]) == b"\x55" * 64


@pytest.mark.skipif(sys.platform != "linux" or os.uname().machine != "x86_64", reason="vectors are for x86")
def test_vectors_are_used_where_the_system_says_that_there_are_some() -> None:
    assert native_units.has_vectors() == ("avx2" in Path("/proc/cpuinfo").read_text().split())
