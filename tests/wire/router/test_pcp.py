"""PCP, by the layouts of RFC 6887 (sections 7 and 11.1)."""

from ipaddress import IPv4Address
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn.wire.router.pcp import MOST_BYTES, PcpMapped, PcpRefusal, PcpRequest

NONCE = bytes(range(12))
REQUEST = PcpRequest(NONCE, IPv4Address("192.168.1.2"), 33445)
OUTER = bytes(10) + b"\xff\xff" + IPv4Address("203.0.113.5").packed


def answer(
    *, version: int = 2, opcode: int = 0x81, result: int = 0, nonce: bytes = NONCE, protocol: int = 17,
    inner: int = 33445, outer: bytes = OUTER,
) -> bytes:  # fmt: skip
    head = pack("!BBBBII12x", version, opcode, 0, result, 600, 1)
    return head + pack("!12sB3xHH16s", nonce, protocol, inner, 40000, outer)


def test_a_request() -> None:
    own = bytes(10) + b"\xff\xff" + bytes([192, 168, 1, 2])
    expected = b"\x02\x01\x00\x00" + pack("!I", 600) + own
    expected += NONCE + b"\x11\x00\x00\x00" + pack("!HH", 33445, 40000) + bytes(10) + b"\xff\xff" + bytes(4)
    assert REQUEST.encode(40000, 600) == expected


def test_an_answer() -> None:
    mapped = PcpMapped(IPv4Address("203.0.113.5"), 40000, 600)
    assert REQUEST.answer_untrusted(answer()) == mapped
    assert REQUEST.answer_untrusted(answer() + bytes(8)) == mapped, "with an option"


def test_refusals() -> None:
    assert REQUEST.answer_untrusted(answer(result=2)) == PcpRefusal(2)
    assert REQUEST.answer_untrusted(pack("!BBHI", 0, 0x81, 1, 5)) == PcpRefusal(1, older=True)
    assert PcpRefusal(2).reason == "it does not allow it"
    assert PcpRefusal(99).reason == "it refuses (code 99)"


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        answer()[:-1],
        answer() + bytes(2),
        answer() + bytes(MOST_BYTES),
        answer(version=3),
        answer(opcode=1),
        answer(opcode=0x82),
        answer(nonce=bytes(12)),
        answer(protocol=6),
        answer(inner=33446),
        answer(outer=bytes(15) + b"\x01"),
    ],
)
def test_what_is_no_answer_to_it(packet: bytes) -> None:
    assert REQUEST.answer_untrusted(packet) is None


@given(st.binary(max_size=80))
def test_any_bytes(packet: bytes) -> None:
    REQUEST.answer_untrusted(packet)
