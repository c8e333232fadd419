import ipaddress
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn.errors import LocalProtocolError
from toxvpn.wire.socks5 import (
    GREETING,
    BadReply,
    BadRequest,
    Connected,
    ConnectRefused,
    ConnectRequest,
    Fault,
    ReplyCode,
    Socks5Client,
    Socks5Server,
    encode_connect,
    encode_reply,
)

CHOSEN = bytes.fromhex("05 00")
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=63)
HOSTS = NAMES | st.ip_addresses().map(str)
PORTS = st.integers(0, 65535)

Event = ConnectRequest | BadRequest | Connected | ConnectRefused | BadReply


def serve(data: bytes, cuts: set[int]) -> tuple[bytes, Event | None]:
    """Feed a server piece by piece until its event; what was not fed by then belongs to the stream."""
    server, answer = Socks5Server(), b""
    for start, end in pieces(data, cuts):
        more, event = server.receive(data[start:end])
        answer += more
        if isinstance(event, ConnectRequest):
            return answer, ConnectRequest(event.host, event.port, event.rest + data[end:])
        if event:
            return answer, event
    return answer, None


def call(data: bytes, cuts: set[int]) -> Event | None:
    client = Socks5Client()
    for start, end in pieces(data, cuts):
        event = client.receive(data[start:end])
        if event:
            return Connected(event.rest + data[end:]) if isinstance(event, Connected) else event
    return None


def pieces(data: bytes, cuts: set[int]) -> list[tuple[int, int]]:
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    return list(itertools.pairwise(edges))


EVERY_BYTE = set(range(1024))
CUTS = st.sampled_from([set(), EVERY_BYTE]) | st.sets(st.integers(0, 300))


@pytest.mark.parametrize(
    ("request_hex", "host", "port"),
    [
        ("05 01 00 01 7f000001 0016", "127.0.0.1", 22),
        ("05 01 00 03 09 6c6f63616c686f7374 01bb", "localhost", 443),
        ("05 01 00 04 00000000000000000000000000000001 ffff", "::1", 65535),
    ],
)
@pytest.mark.parametrize("cuts", [set(), EVERY_BYTE])
def test_requests_as_in_the_rfc(request_hex: str, host: str, port: int, cuts: set[int]) -> None:
    data = GREETING + bytes.fromhex(request_hex)
    assert data.startswith(b"\x05\x01\x00")
    assert serve(data + b"more", cuts) == (CHOSEN, ConnectRequest(host, port, b"more"))
    assert encode_connect(host, port) == data


@given(HOSTS, PORTS, st.binary(), CUTS)
def test_what_a_client_asks_a_server_hears(host: str, port: int, rest: bytes, cuts: set[int]) -> None:
    answer, event = serve(encode_connect(host, port) + rest, cuts)
    assert answer == CHOSEN
    assert isinstance(event, ConnectRequest)
    assert (event.port, event.rest) == (port, rest)
    assert event.host == host or ipaddress.ip_address(event.host) == ipaddress.ip_address(host)


@given(st.sampled_from(ReplyCode), st.binary(), CUTS)
def test_what_a_server_answers_a_client_hears(code: ReplyCode, rest: bytes, cuts: set[int]) -> None:
    event = call(CHOSEN + encode_reply(code) + rest, cuts)
    assert event == (Connected(rest) if code == ReplyCode.SUCCEEDED else ConnectRefused(code))


@pytest.mark.parametrize("address", ["01 7f000001", "03 09 6c6f63616c686f7374", "03 00", "04" + 16 * "00"])
def test_a_reply_may_name_any_address(address: str) -> None:
    assert call(CHOSEN + bytes.fromhex(f"05 00 00 {address} 1234") + b"x", EVERY_BYTE) == Connected(b"x")


def test_an_unknown_reply_code_is_a_general_failure() -> None:
    assert call(CHOSEN + b"\x05\x63", set()) == ConnectRefused(ReplyCode.GENERAL_FAILURE)


@pytest.mark.parametrize(
    ("data", "answer", "fault"),
    [
        (bytes.fromhex("04 01 0016 7f000001 00"), b"", Fault.NOT_SOCKS5),
        (b"GET / HTTP/1.1\r\n\r\n", b"", Fault.NOT_SOCKS5),
        (bytes.fromhex("05 00"), b"\x05\xff", Fault.AUTHENTICATION_REQUIRED),
        (bytes.fromhex("05 02 01 02"), b"\x05\xff", Fault.AUTHENTICATION_REQUIRED),
        (GREETING + b"\x04", CHOSEN + encode_reply(ReplyCode.GENERAL_FAILURE), Fault.MALFORMED),
        (
            GREETING + bytes.fromhex("05 02 00 01 7f000001 0016"),
            CHOSEN + encode_reply(ReplyCode.COMMAND_NOT_SUPPORTED),
            Fault.COMMAND_NOT_SUPPORTED,
        ),
        (
            GREETING + bytes.fromhex("05 03 00 01 00000000 0000"),
            CHOSEN + encode_reply(ReplyCode.COMMAND_NOT_SUPPORTED),
            Fault.COMMAND_NOT_SUPPORTED,
        ),
        (
            GREETING + bytes.fromhex("05 01 00 02 7f000001 0016"),
            CHOSEN + encode_reply(ReplyCode.ADDRESS_TYPE_NOT_SUPPORTED),
            Fault.ADDRESS_TYPE_NOT_SUPPORTED,
        ),
        (
            GREETING + bytes.fromhex("05 01 00 03 01 ff 0016"),
            CHOSEN + encode_reply(ReplyCode.GENERAL_FAILURE),
            Fault.MALFORMED,
        ),
    ],
)
@pytest.mark.parametrize("cuts", [set(), EVERY_BYTE])
def test_a_bad_request_is_named_and_answered(
    data: bytes, answer: bytes, fault: Fault, cuts: set[int]
) -> None:
    assert serve(data, cuts) == (answer, BadRequest(fault))


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"HTTP/1.1 400", Fault.NOT_SOCKS5),
        (b"\x05\xff", Fault.AUTHENTICATION_REQUIRED),
        (b"\x05\x02", Fault.AUTHENTICATION_REQUIRED),
        (CHOSEN + b"\x04", Fault.MALFORMED),
        (CHOSEN + b"\x05\x00\x00\x02", Fault.ADDRESS_TYPE_NOT_SUPPORTED),
    ],
)
@pytest.mark.parametrize("cuts", [set(), EVERY_BYTE])
def test_a_bad_reply_is_named(data: bytes, fault: Fault, cuts: set[int]) -> None:
    assert call(data, cuts) == BadReply(fault)


@pytest.mark.parametrize("host", ["", "x" * 256])
def test_a_host_that_does_not_fit_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="does not fit SOCKS5"):
        encode_connect(host, 1)


def test_a_zone_is_not_lost() -> None:
    _, event = serve(encode_connect("fe80::1%eth0", 22), set())
    assert event == ConnectRequest("fe80::1%eth0", 22, b"")


def test_nothing_is_received_after_the_end() -> None:
    server, client = Socks5Server(), Socks5Client()
    server.receive(b"GET")
    client.receive(b"HTTP")
    with pytest.raises(LocalProtocolError):
        server.receive(b"")
    with pytest.raises(LocalProtocolError):
        client.receive(b"")


@given(st.sampled_from([b"", GREETING, GREETING + b"\x05\x01\x00"]), st.binary(max_size=600), CUTS)
def test_a_server_takes_any_bytes_alike_in_any_pieces(start: bytes, garbage: bytes, cuts: set[int]) -> None:
    assert serve(start + garbage, set()) == serve(start + garbage, cuts)


@given(st.sampled_from([b"", CHOSEN, CHOSEN + b"\x05\x00\x00"]), st.binary(max_size=600), CUTS)
def test_a_client_takes_any_bytes_alike_in_any_pieces(start: bytes, garbage: bytes, cuts: set[int]) -> None:
    assert call(start + garbage, set()) == call(start + garbage, cuts)
