import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn.wire.filetransfer import (
    LAST,
    MOST_CHUNK_BYTES,
    MOST_DEPTH,
    MOST_LINE_BYTES,
    Begin,
    BeginFolder,
    Busy,
    Changed,
    Check,
    Digest,
    Directory,
    EndAll,
    Ended,
    EndFolder,
    Failed,
    Failure,
    File,
    FromReceiver,
    FromSender,
    Have,
    Kept,
    ProtocolError,
    SendFrom,
    decode_from_receiver,
    decode_from_sender,
    decode_length,
    encode,
    encode_length,
    printable,
)

numbers = st.integers(0, LAST)
names = (
    st.binary(min_size=1, max_size=255)
    .map(lambda name: name.replace(b"/", b"x").replace(b"\0", b"\xff"))
    .filter(lambda name: name not in (b".", b".."))
)
paths = st.lists(names, min_size=1, max_size=2).map(tuple)
from_sender = st.one_of(
    st.builds(Begin, numbers, numbers),
    st.builds(File, paths, numbers, st.integers(-LAST - 1, LAST), st.booleans(), numbers),
    st.builds(BeginFolder, names),
    st.builds(Directory, paths),
    st.builds(Digest, st.binary(min_size=32, max_size=32)),
    st.sampled_from([Changed(), EndFolder(), EndAll(), Busy()]),
)
from_receiver = st.one_of(
    st.builds(Check, numbers),
    st.builds(SendFrom, numbers),
    st.builds(Kept, names),
    st.builds(Have, names),
    st.builds(Failed, st.sampled_from(Failure)),
    st.sampled_from([Busy(), Ended()]),
)
FILE = {"file": "a", "size": 1, "mtime": 0, "room": 1}


@given(from_sender)
def test_what_a_sender_says_is_understood(message: FromSender) -> None:
    line = encode(message)
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    assert decode_from_sender(line[:-1]) == message


@given(from_receiver)
def test_what_a_receiver_says_is_understood(message: FromReceiver) -> None:
    assert decode_from_receiver(encode(message)[:-1]) == message


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_a_fault(line: bytes) -> None:
    for decode in (decode_from_sender, decode_from_receiver):
        with contextlib.suppress(ProtocolError):
            decode(line)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
keys = st.sampled_from(
    [
        *["begin", "bytes", "file", "size", "mtime", "room", "executable", "folder", "directory", "blake2b"],
        *["changed", "end", "busy", "check", "from", "kept", "have", "failed", "ended"],
    ]
)


@given(st.dictionaries(keys, json_values, max_size=6))
def test_any_json_is_a_message_or_a_fault(fields: dict[str, object]) -> None:
    line = json.dumps(fields).encode()
    for decode in (decode_from_sender, decode_from_receiver):
        try:
            message = decode(line)
        except ProtocolError:
            continue
        if isinstance(message, File):
            assert all(name not in (b"", b".", b"..") and b"/" not in name for name in message.path)
            assert 0 <= message.size_bytes <= LAST


@pytest.mark.parametrize(
    "path",
    [
        *["", ".", "..", "/etc/passwd", "../x", "a/../b", "a//b", "a/", "./a", "a\0b", "a" * 256, "\ud800"],
        "/".join(["a"] * (MOST_DEPTH + 1)),
    ],
)
def test_a_path_that_leads_elsewhere_is_a_fault(path: str) -> None:
    for kind in ("file", "directory", "folder"):
        with pytest.raises(ProtocolError):
            decode_from_sender(json.dumps({"size": 1, "mtime": 0, "room": 1, kind: path}).encode())


@pytest.mark.parametrize("size", [-1, 1 << 63, 1 << 64, 1.5, "1", None, True, [1]])
def test_a_size_that_no_file_has_is_a_fault(size: object) -> None:
    with pytest.raises(ProtocolError):
        decode_from_sender(json.dumps(FILE | {"size": size}).encode())


def test_a_size_with_thousands_of_digits_is_a_fault() -> None:
    for digits in (1000, 4000):
        with pytest.raises(ProtocolError):
            decode_from_sender(b'{"file":"a","mtime":0,"room":0,"size":' + b"9" * digits + b"}")


def test_deeply_nested_json_is_a_fault() -> None:
    with pytest.raises(ProtocolError):
        decode_from_sender(b"[" * MOST_LINE_BYTES)


def test_a_chunk_has_a_bound() -> None:
    assert decode_length(encode_length(MOST_CHUNK_BYTES)) == MOST_CHUNK_BYTES
    for length in (MOST_CHUNK_BYTES + 1, (1 << 32) - 1):
        with pytest.raises(ProtocolError):
            decode_length(encode_length(length))


def test_a_path_that_makes_the_line_too_long_cannot_be_sent() -> None:
    with pytest.raises(ValueError, match="4096"):
        encode(File((b"\n" * 255,) * 9, 1, 0, False, 1))
    assert len(encode(File((b"\xff" * 255,) * 15, 1, 0, False, 1))) <= MOST_LINE_BYTES


def test_an_unknown_reason_is_a_reason() -> None:
    assert decode_from_receiver(b'{"failed":"of the future"}') == Failed(Failure.BROKEN)


@given(st.binary(max_size=50))
def test_a_name_for_a_terminal_does_not_steer_it(name: bytes) -> None:
    assert printable(name).isprintable()


def test_a_name_for_a_terminal_is_readable() -> None:
    assert printable("Übung 1.txt".encode()) == "Übung 1.txt"
    assert printable(b"a\x1b[2Jb\n\xff\xe2\x80\xae") == r"a\x1b[2Jb\n\xff\u202e"
