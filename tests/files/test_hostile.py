"""What a hostile sender can do to a receiver, and a hostile receiver to a sender: end its own transfer."""

import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from toxvpn.files import channel as channel_module
from toxvpn.wire.filetransfer import (
    EAGER_BYTES,
    LAST,
    MOST_CHUNK_BYTES,
    Begin,
    BeginFolder,
    Check,
    Digest,
    Directory,
    EndAll,
    EndFolder,
    Failed,
    Failure,
    File,
    FromReceiver,
    FromSender,
    Kept,
    ProtocolError,
    SendFrom,
    encode,
    encode_length,
)

from .transfers import Receiver, send

Receive = Callable[[], Receiver]
DIGEST = encode(Digest(bytes(32)))
NO_MORE = encode_length(0)


def file(name: str, size_bytes: int = 5, room_bytes: int = 0) -> bytes:
    return encode(File(tuple(name.encode().split(b"/")), size_bytes, 0, False, room_bytes))


def raw(**fields: object) -> bytes:
    return json.dumps(fields).encode() + b"\n"


FAULTS = {
    "out of the folder": raw(file="../x", size=1, mtime=0, room=1),
    "an absolute path": raw(file="/etc/x", size=1, mtime=0, room=1),
    "two beginnings": encode(Begin(1, 1)) * 2,
    "a path in no folder": file("a/b"),
    "a folder in a folder": encode(BeginFolder(b"a")) + encode(BeginFolder(b"b")),
    "a folder with a path": raw(folder="a/b"),
    "the end of no folder": encode(EndFolder()),
    "an end in a folder": encode(BeginFolder(b"a")) + encode(EndAll()),
    "a directory in no folder": encode(Directory((b"a",))),
    "a digest of nothing": DIGEST,
    "more bytes than said": file("a") + encode_length(6) + b"123456",
    "fewer bytes than said": file("a") + encode_length(4) + b"1234" + NO_MORE + DIGEST,
    "no digest": file("a") + encode_length(5) + b"12345" + NO_MORE + encode(EndAll()),
    "a chunk of 4 GB": file("a", LAST) + b"\xff\xff\xff\xff",
    "a line without end": b'{"file":"' + b"a" * 100_000,
    "no JSON": b"GET / HTTP/1.1\n",
    "a size of 2^63": raw(file="a", size=LAST + 1, mtime=0, room=0),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_ends_the_stream_and_leaves_nothing(tmp_path: Path, receive: Receive, fault: str) -> None:
    receiver = receive()
    receiver.theirs.sendall(FAULTS[fault])
    assert isinstance(receiver.wait(), ProtocolError)
    kept = [path.name for path in (tmp_path / "into").iterdir() if not path.name.endswith(".part")]
    assert kept == []
    assert [path.name for path in tmp_path.iterdir()] == ["into"]


def test_a_huge_file_takes_no_more_room_than_what_comes(tmp_path: Path, receive: Receive) -> None:
    receiver = receive()
    receiver.theirs.sendall(file("a", LAST))
    assert receiver.theirs.recv(100) == encode(SendFrom(0))
    receiver.theirs.sendall(encode_length(3) + b"123")
    receiver.theirs.close()
    assert isinstance(receiver.wait(), EOFError)
    (part,) = (tmp_path / "into").iterdir()
    assert part.stat().st_size == 3


def test_a_file_that_needs_more_than_there_is_is_refused(receive: Receive) -> None:
    receiver = receive()
    receiver.theirs.sendall(file("a", LAST, LAST))
    assert receiver.theirs.recv(100) == encode(Failed(Failure.NO_ROOM))


def test_a_refused_file_is_read_over_when_its_bytes_come_at_once(receive: Receive) -> None:
    receiver = receive()
    bytes_of_it = encode_length(5) + b"12345" + NO_MORE + DIGEST
    receiver.theirs.sendall(file("a", 5, LAST) + bytes_of_it + file("b", 0) + NO_MORE + DIGEST)
    lines = receiver.theirs.makefile("rb")
    assert lines.readline() == encode(Failed(Failure.NO_ROOM))
    assert lines.readline() == encode(Failed(Failure.DIGEST))


def test_thousands_of_files_take_no_descriptors(receive: Receive) -> None:
    receiver = receive()
    before = len(list(Path("/proc/self/fd").iterdir()))
    reader = receiver.theirs.makefile("rb")
    for _ in range(10):
        receiver.theirs.sendall(b"".join(file("a", 0) + NO_MORE + DIGEST for _ in range(100)))
        for _ in range(100):
            assert reader.readline() == encode(Failed(Failure.DIGEST))
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 2


def test_a_sender_that_says_nothing_is_given_up(
    tmp_path: Path, receive: Receive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_module, "STALL_S", 0.05)
    assert isinstance(receive().wait(), TimeoutError)


def test_a_sender_that_does_not_read_is_given_up(
    tmp_path: Path, receive: Receive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_module, "STALL_S", 0.2)
    receiver = receive()
    receiver.theirs.setblocking(False)
    name = "a" * 255
    try:
        while True:
            receiver.theirs.send(file(name, 5, LAST) + encode_length(5) + b"12345" + NO_MORE + DIGEST)
    except BlockingIOError:
        pass
    assert isinstance(receiver.wait(), TimeoutError | ProtocolError)


# -- a hostile receiver ---------------------------------------------------------------------------


class Script:
    """A receiver that says what it was told to, whatever it hears."""

    def __init__(self, *says: bytes) -> None:
        self.theirs, self._ours = socket.socketpair()
        self._says = says
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with self._ours:
            for each in self._says:
                self._ours.sendall(each)
            self._ours.settimeout(5)
            try:
                while self._ours.recv(1 << 20):
                    pass
            except OSError:
                pass

    def close(self) -> None:
        self.theirs.close()
        self._thread.join()


def says(*messages: FromReceiver | FromSender) -> bytes:
    return b"".join(map(encode, messages))


ANSWERS = {
    "an offset that it has not checked": says(SendFrom(1)),
    "an offset after the end": says(SendFrom(LAST)),
    "the digest of more than there is": says(Check(LAST)),
    "digests for ever": says(Check(1), Check(1), Check(1)),
    "that it is kept before it came": says(Kept(b"a")),
    "what only a sender says": says(EndAll()),
    "that it is kept while it comes": says(SendFrom(0), Kept(b"a")),
    "nothing that is JSON": b"\0\n",
    "a line without end": b"a" * 100_000,
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_faulty_receiver_ends_its_transfer(tmp_path: Path, answer: str) -> None:
    path = tmp_path / "big"
    path.write_bytes(bytes(4 * MOST_CHUNK_BYTES))
    script = Script(ANSWERS[answer])
    try:
        with pytest.raises(ProtocolError):
            send(script, path)  # type: ignore[arg-type]
    finally:
        script.close()


def test_a_receiver_that_does_not_read_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_module, "STALL_S", 0.1)
    theirs, ours = socket.socketpair()
    script = type("Silent", (), {"theirs": theirs})()
    path = tmp_path / "small"
    path.write_bytes(bytes(EAGER_BYTES))
    with ours, pytest.raises(TimeoutError):
        send(script, *[path] * 100)
