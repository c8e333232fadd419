"""tuntox frames: bytes written by hand from docs/wire-format.md, then everything hypothesis finds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn.wire.socks5 import ReplyCode
from toxvpn.wire.tuntox import frames
from toxvpn.wire.tuntox.frames import Denial, Frame, FrameDrop, FrameType, RequestPayload, Version

V1, V2 = Version.V1, Version.V2

GOLDEN = [
    ("a26a 0108 0000 0005 48656c6c6f", frames.ping(V1, b"Hello"), Frame(V1, FrameType.PING, 0, b"Hello")),
    ("a26b 0108 0000 0005 48656c6c6f", frames.ping(V2, b"Hello"), Frame(V2, FrameType.PING, 0, b"Hello")),
    ("a26a 0100 0000 0005 48656c6c6f", frames.pong(V1, b"Hello"), Frame(V1, FrameType.PONG, 0, b"Hello")),
    (
        "a26a 0602 0016 0009 6c6f63616c686f7374",
        frames.request(V1, 7, b"localhost", 22),
        Frame(V1, FrameType.REQUESTTUNNEL, 22, b"localhost"),
    ),
    (
        "a26b 0602 1f90 000d 0a0b0c0d 6c6f63616c686f7374",
        frames.request(V2, 0x0A0B0C0D, b"localhost", 8080),
        Frame(V2, FrameType.REQUESTTUNNEL, 8080, b"\x0a\x0b\x0c\x0dlocalhost"),
    ),
    ("a26a 0610 beef 0000", frames.ack(V1, 0xBEEF, None), Frame(V1, FrameType.ACKTUNNEL, 0xBEEF, b"")),
    (
        "a26b 0610 beef 0004 0a0b0c0d",
        frames.ack(V2, 0xBEEF, 0x0A0B0C0D),
        Frame(V2, FrameType.ACKTUNNEL, 0xBEEF, b"\x0a\x0b\x0c\x0d"),
    ),
    (
        "a26b 0604 0016 0007 0a0b0c0d 05 6e6f",
        frames.deny(V2, 0x0A0B0C0D, 22, ReplyCode.CONNECTION_REFUSED, "no"),
        Frame(V2, FrameType.DENYTUNNEL, 22, b"\x0a\x0b\x0c\x0d\x05no"),
    ),
    (
        "a26a 0600 beef 0003 010203",
        frames.data(V1, 0xBEEF, b"\1\2\3"),
        Frame(V1, FrameType.TCP, 0xBEEF, b"\1\2\3"),
    ),
    ("a26b 0601 beef 0000", frames.fin(V2, 0xBEEF), Frame(V2, FrameType.TCP_FIN, 0xBEEF, b"")),
    ("a26b 0603 beef 0000", frames.half_close(V2, 0xBEEF), Frame(V2, FrameType.TCP_HALF_CLOSE, 0xBEEF, b"")),
    (
        "a26b 0605 beef 0004 00040000",
        frames.credit(V2, 0xBEEF, 262144),
        Frame(V2, FrameType.TCP_CREDIT, 0xBEEF, b"\0\4\0\0"),
    ),
]

versions = st.sampled_from(Version)
u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 0xFFFFFFFF)
hosts = st.binary(min_size=1, max_size=255).filter(frames.is_valid_host) | st.from_regex(
    rb"[a-z0-9.:-]{1,255}", fullmatch=True
)


@pytest.mark.parametrize(("text", "encoded", "frame"), GOLDEN)
def test_golden_frames(text: str, encoded: bytes, frame: Frame) -> None:
    packet = bytes.fromhex(text)
    assert encoded == packet
    assert frames.decode(packet) == frame
    assert packet[0] == frames.PACKET_ID == 162


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", FrameDrop.TOO_SHORT),
        ("a2", FrameDrop.TOO_SHORT),
        ("a26a0600beef00", FrameDrop.TOO_SHORT),
        ("a26c0600beef0000", FrameDrop.UNKNOWN_MAGIC),
        ("a26a0606beef0000", FrameDrop.UNKNOWN_TYPE),
        ("a26a0600beef0001", FrameDrop.LENGTH_MISMATCH),
        ("a26a0600beefffff", FrameDrop.LENGTH_MISMATCH),
        ("a26a0600beef000001", FrameDrop.LENGTH_MISMATCH),
        ("a26a0600beef0556" + 1366 * "00", FrameDrop.TOO_LONG),
    ],
)
def test_what_is_no_frame_is_dropped_with_its_reason(text: str, reason: FrameDrop) -> None:
    assert frames.decode(bytes.fromhex(text)) is reason


def test_the_largest_packet_is_a_frame_and_no_larger_one_is_made() -> None:
    packet = frames.data(V1, 1, bytes(1365))
    assert len(packet) == 1373
    frame = frames.decode(packet)
    assert isinstance(frame, Frame)
    assert frame.payload == bytes(1365)
    with pytest.raises(ValueError, match="1365"):
        frames.data(V1, 1, bytes(1366))


def test_requests_of_both_versions_are_read() -> None:
    v1 = Frame(V1, FrameType.REQUESTTUNNEL, 22, b"localhost")
    v2 = Frame(V2, FrameType.REQUESTTUNNEL, 22, b"\0\0\0\x07::1")
    assert frames.read_request(v1) == RequestPayload(None, "localhost", 22)
    assert frames.read_request(v2) == RequestPayload(7, "::1", 22)


@pytest.mark.parametrize(
    "host", [b"", b"localhost\0", b"a\0b", b"a b", b"a\nb", b"\x7f", b"b\xfccher.example", b"x" * 256]
)
def test_a_host_that_is_none_is_dropped(host: bytes) -> None:
    v1 = Frame(V1, FrameType.REQUESTTUNNEL, 22, host)
    v2 = Frame(V2, FrameType.REQUESTTUNNEL, 22, b"\0\0\0\1" + host)
    assert frames.read_request(v1) is FrameDrop.BAD_HOST
    assert frames.read_request(v2) is FrameDrop.BAD_HOST


@pytest.mark.parametrize("payload", [b"", b"\0", b"\0\0\0"])
def test_payloads_too_short_for_their_type_are_dropped(payload: bytes) -> None:
    assert frames.read_request(Frame(V2, FrameType.REQUESTTUNNEL, 1, payload)) is FrameDrop.BAD_PAYLOAD
    assert frames.read_ack(Frame(V2, FrameType.ACKTUNNEL, 1, payload)) is FrameDrop.BAD_PAYLOAD
    assert frames.read_credit(Frame(V2, FrameType.TCP_CREDIT, 1, payload)) is FrameDrop.BAD_PAYLOAD
    denial = Frame(V2, FrameType.DENYTUNNEL, 1, payload + b"\0")
    assert frames.read_denial(denial) is FrameDrop.BAD_PAYLOAD


def test_acks_of_both_versions_are_read() -> None:
    assert frames.read_ack(Frame(V1, FrameType.ACKTUNNEL, 9, b"")) is None
    assert frames.read_ack(Frame(V2, FrameType.ACKTUNNEL, 9, b"\0\0\1\0")) == 256


@pytest.mark.parametrize(
    ("payload", "denial"),
    [
        (b"\0\0\0\7\2", Denial(7, ReplyCode.NOT_ALLOWED, "")),
        (b"\0\0\0\7\5no sshd", Denial(7, ReplyCode.CONNECTION_REFUSED, "no sshd")),
        (b"\0\0\0\7\xff", Denial(7, ReplyCode.GENERAL_FAILURE, "")),
        (b"\0\0\0\7\0", Denial(7, ReplyCode.GENERAL_FAILURE, "")),
        (
            b"\0\0\0\7\4\x1b[2J\r\nhi\xff",
            Denial(7, ReplyCode.HOST_UNREACHABLE, "[2Jhi\N{REPLACEMENT CHARACTER}"),
        ),
    ],
)
def test_denials_are_read_and_their_text_made_harmless(payload: bytes, denial: Denial) -> None:
    assert frames.read_denial(Frame(V2, FrameType.DENYTUNNEL, 22, payload)) == denial


def test_a_long_text_is_cut_between_characters() -> None:
    packet = frames.deny(V2, 1, 22, ReplyCode.GENERAL_FAILURE, "x" + 300 * "\N{EURO SIGN}")
    frame = frames.decode(packet)
    assert isinstance(frame, Frame)
    denial = frames.read_denial(frame)
    assert isinstance(denial, Denial)
    assert denial.text == "x" + 66 * "\N{EURO SIGN}"


@pytest.mark.parametrize(
    ("host", "encoded"),
    [
        ("localhost", b"localhost"),
        ("::1", b"::1"),
        ("bücher.example", b"xn--bcher-kva.example"),
        ("", None),
        ("a b", None),
        ("x" * 256, None),
        ("ü" * 300, None),
        ("\ud800", None),
    ],
)
def test_hosts_are_made_fit_for_a_request(host: str, encoded: bytes | None) -> None:
    assert frames.encode_host(host) == encoded


@given(versions, u32, hosts, u16)
def test_requests_survive_the_round_trip(version: Version, forward_id: int, host: bytes, port: int) -> None:
    frame = frames.decode(frames.request(version, forward_id, host, port))
    assert isinstance(frame, Frame)
    expected = RequestPayload(forward_id if version is V2 else None, host.decode(), port)
    assert frames.read_request(frame) == expected


@given(versions, u32, u16, st.sampled_from(list(ReplyCode)[1:]), st.text("abcdef é€", max_size=60))
def test_denials_survive_the_round_trip(
    version: Version, forward_id: int, port: int, reason: ReplyCode, text: str
) -> None:
    frame = frames.decode(frames.deny(version, forward_id, port, reason, text))
    assert isinstance(frame, Frame)
    assert frames.read_denial(frame) == Denial(forward_id, reason, text)


@given(versions, u16, st.binary(max_size=1365), u32)
def test_the_other_frames_survive_the_round_trip(
    version: Version, connid: int, payload: bytes, number: int
) -> None:
    def decoded(packet: bytes) -> Frame:
        frame = frames.decode(packet)
        assert isinstance(frame, Frame)
        return frame

    assert decoded(frames.data(version, connid, payload)) == (version, FrameType.TCP, connid, payload)
    assert decoded(frames.ping(version, payload)) == (version, FrameType.PING, 0, payload)
    assert decoded(frames.pong(version, payload)) == (version, FrameType.PONG, 0, payload)
    assert decoded(frames.fin(version, connid)) == (version, FrameType.TCP_FIN, connid, b"")
    assert frames.read_credit(decoded(frames.credit(version, connid, number))) == number
    ack = decoded(frames.ack(version, connid, number))
    assert ack.connid == connid
    assert frames.read_ack(ack) == (number if version is V2 else None)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A golden frame with a few bytes changed, and perhaps cut short or continued."""
    packet = bytearray.fromhex(draw(st.sampled_from(GOLDEN))[0])
    for _ in range(draw(st.integers(0, 3))):
        packet[draw(st.integers(0, len(packet) - 1))] = draw(st.integers(0, 255))
    return bytes(packet[: draw(st.integers(0, len(packet)))]) + draw(st.binary(max_size=10))


@given(st.binary(max_size=1500) | mutated())
def test_garbage_gives_a_frame_or_a_reason_never_an_exception(packet: bytes) -> None:
    frame = frames.decode(packet)
    if isinstance(frame, FrameDrop):
        return
    assert frames.HEADER_BYTES + len(frame.payload) == len(packet)
    for read in (frames.read_request, frames.read_ack, frames.read_denial, frames.read_credit):
        read(frame)
