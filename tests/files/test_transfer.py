"""A whole transfer, from one folder into another: what arrives, what is kept when it breaks."""

import errno
import os
import random
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from toxvpn.files import arrival, incoming
from toxvpn.files.folder import NotKeptError, Unfinished, tag_of, unfinished_name
from toxvpn.files.outgoing import FullError
from toxvpn.wire.filetransfer import EAGER_BYTES, MOST_CHUNK_BYTES

from .transfers import KEY, Receiver, Seen, send

Receive = Callable[[], Receiver]
BIG = random.Random(7).randbytes(3 * MOST_CHUNK_BYTES + 12345)


def tree(folder: Path) -> dict[str, bytes | None]:
    """What is in a folder; None for a directory."""
    found = sorted(folder.rglob("*"))
    return {str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes() for path in found}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def unfinished(tmp_path: Path, name: bytes) -> Path:
    return tmp_path / "into" / os.fsdecode(unfinished_name(name, tag_of(KEY)))


@pytest.mark.parametrize(
    "size_bytes",
    [0, 1, EAGER_BYTES, EAGER_BYTES + 1, MOST_CHUNK_BYTES, MOST_CHUNK_BYTES + 1, len(BIG)],
)
def test_a_file_arrives_as_it_was(tmp_path: Path, receive: Receive, size_bytes: int) -> None:
    path = write(tmp_path / "file", BIG[:size_bytes])
    os.utime(path, ns=(1, 1_234_567_890_123_456_789))
    receiver = receive()
    seen = send(receiver, path)
    assert receiver.wait() is None
    arrived = tmp_path / "into/file"
    assert arrived.read_bytes() == BIG[:size_bytes]
    assert arrived.stat().st_mtime_ns == 1_234_567_890_123_456_789
    assert seen.lines == ["file: Kept(name=b'file')"]
    assert receiver.seen.lines == [f"1 files, {size_bytes} bytes", "kept b'file'"]
    assert names(tmp_path / "into") == ["file"]


def test_only_the_executable_bit_is_taken_over(tmp_path: Path, receive: Receive) -> None:
    for mode in (0o400, 0o4777):
        write(tmp_path / f"{mode:o}", b"x").chmod(mode)
    receiver = receive()
    send(receiver, tmp_path / "400", tmp_path / "4777")
    assert receiver.wait() is None
    modes = [stat.S_IMODE((tmp_path / "into" / name).stat().st_mode) for name in ("400", "4777")]
    assert modes == [0o644, 0o755]


def test_names_with_any_bytes(tmp_path: Path, receive: Receive) -> None:
    odd = [
        b"\xff\xfe",
        b"-rf",
        b" ",
        b'"',
        b"\\",
        "Ü".encode(),
        b"a" * 255,
        b"$(x)",
    ]
    paths = [write(tmp_path / "from" / os.fsdecode(name), name) for name in odd]
    receiver = receive()
    send(receiver, *paths)
    assert receiver.wait() is None
    assert {os.fsencode(path.name): path.read_bytes() for path in (tmp_path / "into").iterdir()} == {
        name: name for name in odd
    }


def test_a_folder_with_all_that_is_in_it(tmp_path: Path, receive: Receive) -> None:
    for number in range(200):  # more than may be unanswered
        write(tmp_path / f"photos/small/{number}", b"%d" % number)
    write(tmp_path / "photos/deep/er/big", BIG)
    write(tmp_path / "photos/.hidden", b"")
    tmp_path.joinpath("photos/empty/inside").mkdir(parents=True)
    receiver = receive()
    seen = send(receiver, tmp_path / "photos")
    assert receiver.wait() is None
    assert tree(tmp_path / "into/photos") == tree(tmp_path / "photos")
    assert seen.lines == ["photos/: Kept(name=b'photos')"]
    assert receiver.seen.lines[1:] == ["kept b'photos/'"]


def test_what_is_no_file_is_left_out_of_a_folder_and_said(tmp_path: Path, receive: Receive) -> None:
    write(tmp_path / "secret", b"secret")
    write(tmp_path / "folder/a", b"a")
    tmp_path.joinpath("folder/link").symlink_to(tmp_path / "secret")
    tmp_path.joinpath("folder/loop").symlink_to(tmp_path / "folder")
    os.mkfifo(tmp_path / "folder/pipe")
    receiver = receive()
    seen = send(receiver, tmp_path / "folder")
    assert receiver.wait() is None
    assert tree(tmp_path / "into/folder") == {"a": b"a"}
    assert seen.lines[:3] == [
        "link: left out: a symbolic link",
        "loop: left out: a symbolic link",
        "pipe: left out: neither a file nor a folder",
    ]


def test_a_hidden_name_is_not_hidden_at_the_other_side(tmp_path: Path, receive: Receive) -> None:
    write(tmp_path / ".bashrc", b"evil")
    write(tmp_path / ".ssh/authorized_keys", b"evil")
    receiver = receive()
    send(receiver, tmp_path / ".bashrc", tmp_path / ".ssh")
    assert receiver.wait() is None
    assert tree(tmp_path / "into") == {"_.bashrc": b"evil", "_.ssh": None, "_.ssh/authorized_keys": b"evil"}


def test_the_same_file_again_is_not_sent_again(tmp_path: Path, receive: Receive) -> None:
    paths = [write(tmp_path / "big", BIG), write(tmp_path / "small", b"small")]
    send(first := receive(), *paths)
    assert first.wait() is None
    again = receive()
    seen = send(again, *paths)
    assert again.wait() is None
    assert seen.lines == ["big: Have(name=b'big')", "small: Have(name=b'small')"]
    assert (names(tmp_path / "into")) == ["big", "small"]


def test_another_file_of_the_same_name_size_and_time_is_kept_beside_it(
    tmp_path: Path, receive: Receive
) -> None:
    for name, data in (("big", BIG), ("small", b"small")):
        path, other = write(tmp_path / name, data), write(tmp_path / "into" / name, bytes(len(data)))
        for each in (path, other):
            os.utime(each, ns=(5, 5))
    receiver = receive()
    send(receiver, tmp_path / "big", tmp_path / "small")
    assert receiver.wait() is None
    assert tree(tmp_path / "into") == {
        "big": bytes(len(BIG)), "big (1)": BIG, "small": bytes(5), "small (1)": b"small",
    }  # fmt: skip


def break_after(receiver: Receiver, limit_bytes: int) -> Seen:
    """A sender's view that breaks the stream once so much was sent."""

    def on_moved(done_bytes: int) -> None:
        if done_bytes >= limit_bytes:
            receiver.theirs.shutdown(socket.SHUT_RDWR)

    return Seen(on_moved=on_moved)


def test_a_broken_transfer_goes_on_where_it_was(tmp_path: Path, receive: Receive) -> None:
    path = write(tmp_path / "big", BIG)
    first = receive()
    with pytest.raises((OSError, EOFError)):
        send(first, path, seen=break_after(first, 2 * MOST_CHUNK_BYTES))
    assert isinstance(first.wait(), EOFError)
    part = unfinished(tmp_path, b"big")
    assert names(tmp_path / "into") == [part.name]
    there_bytes = part.stat().st_size
    assert there_bytes >= MOST_CHUNK_BYTES
    second = receive()
    seen = send(second, path)
    assert second.wait() is None
    assert seen.moved_bytes[0] == there_bytes
    assert tree(tmp_path / "into") == {"big": BIG}


def test_what_is_there_of_another_content_is_not_built_upon(tmp_path: Path, receive: Receive) -> None:
    path = write(tmp_path / "big", BIG)
    for data in (bytes(MOST_CHUNK_BYTES), BIG + BIG, BIG[:-1] + b"!"):
        part = write(unfinished(tmp_path, b"big"), data)
        receiver = receive()
        seen = send(receiver, path)
        assert receiver.wait() is None
        assert seen.lines == ["big: Kept(name=b'big')"]
        assert tree(tmp_path / "into") == {"big": BIG}
        assert not part.exists()
        tmp_path.joinpath("into/big").unlink()


def test_a_broken_folder_goes_on_where_it_was(tmp_path: Path, receive: Receive) -> None:
    for name in ("1", "2", "3"):
        write(tmp_path / "folder" / name, BIG + name.encode())
    first, begun = receive(), 0

    def on_moved(done_bytes: int) -> None:
        nonlocal begun
        begun += done_bytes == 0
        if begun == 2 and done_bytes >= 2 * MOST_CHUNK_BYTES:
            first.theirs.shutdown(socket.SHUT_RDWR)

    with pytest.raises((OSError, EOFError)):
        send(first, tmp_path / "folder", seen=Seen(on_moved=on_moved))
    first.wait()
    assert names(tmp_path / "into") == [unfinished(tmp_path, b"folder").name]
    second = receive()
    seen = send(second, tmp_path / "folder")
    assert second.wait() is None
    assert tree(tmp_path / "into/folder") == tree(tmp_path / "folder")
    assert sum(done == 0 for done in seen.moved_bytes) == 1, "only the last began anew"


def test_a_file_that_changes_while_it_is_sent_is_not_kept(tmp_path: Path, receive: Receive) -> None:
    for name, change in (
        ("shorter", lambda path: os.truncate(path, 2 * MOST_CHUNK_BYTES)),
        ("longer", lambda path: path.write_bytes(BIG + b"more")),
    ):
        path, changed = write(tmp_path / name, BIG), False

        def on_moved(done_bytes: int, path: Path = path, change: Callable[[Path], object] = change) -> None:
            nonlocal changed
            if not changed:
                changed = True
                change(path)

        receiver = receive()
        seen = send(receiver, path, seen=Seen(on_moved=on_moved))
        assert receiver.wait() is None
        assert seen.lines == [f"{name}: Failed(why=<Failure.CHANGED: 'changed'>)"]
        assert names(tmp_path / "into") == []


def test_a_file_that_cannot_be_read_is_left_out(
    tmp_path: Path, receive: Receive, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "folder/bad", BIG)
    write(tmp_path / "folder/good", BIG)
    real = os.preadv
    failing = tmp_path.joinpath("folder/bad").stat().st_ino

    def preadv(descriptor: int, *arguments: object) -> int:
        if os.fstat(descriptor).st_ino == failing:
            raise OSError(errno.EIO, "Input/output error")
        return real(descriptor, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "preadv", preadv)
    receiver = receive()
    seen = send(receiver, tmp_path / "folder")
    assert receiver.wait() is None
    assert seen.lines[0] == "bad: left out: Input/output error"
    assert tree(tmp_path / "into/folder") == {"good": BIG}


def test_a_full_disk_stops_the_sender_and_keeps_what_is_there(
    tmp_path: Path, receive: Receive, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "big", BIG)
    real, full = os.pwrite, True

    def pwrite(descriptor: int, data: bytes, offset: int) -> int:
        if full and offset >= MOST_CHUNK_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    first = receive()
    with pytest.raises(FullError):
        send(first, path)
    first.wait()
    assert "big: No space left on device" in first.seen.lines
    full = False
    second = receive()
    seen = send(second, path)
    assert second.wait() is None
    assert seen.moved_bytes[0] == MOST_CHUNK_BYTES
    assert tree(tmp_path / "into") == {"big": BIG}


def test_what_does_not_fit_is_not_begun(
    tmp_path: Path, receive: Receive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incoming, "room_bytes", lambda directory: 1000)
    path = write(tmp_path / "big", BIG)
    with pytest.raises(FullError):
        send(receiver := receive(), path)
    receiver.wait()
    assert receiver.seen.lines[1].startswith("big: there is not enough room")


def test_a_sparse_file_stays_sparse(tmp_path: Path, receive: Receive) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.seek(40 * MOST_CHUNK_BYTES)
        file.write(b"end")
        file.truncate(50 * MOST_CHUNK_BYTES)
    receiver = receive()
    send(receiver, path)
    assert receiver.wait() is None
    arrived = tmp_path / "into/sparse"
    assert arrived.read_bytes() == path.read_bytes()
    assert arrived.stat().st_blocks * 512 <= 2 * MOST_CHUNK_BYTES


def test_a_wrong_digest_is_noticed(tmp_path: Path, receive: Receive, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "big", BIG)
    receiver = receive()
    store = arrival.Arrival._store

    def flip(self: arrival.Arrival, data: memoryview) -> None:
        data[0] ^= 1  # as a faulty memory would
        store(self, data)

    monkeypatch.setattr(arrival.Arrival, "_store", flip)
    seen = send(receiver, path)
    assert receiver.wait() is None
    assert seen.lines == ["big: Failed(why=<Failure.DIGEST: 'digest'>)"]
    assert names(tmp_path / "into") == []


def test_two_streams_of_one_sender_for_one_file(
    tmp_path: Path, receive: Receive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incoming, "WAIT_FOR_LOCK_S", 0.0)
    path = write(tmp_path / "big", BIG)
    held = Unfinished(os.open(tmp_path / "into", os.O_RDONLY), b"big", tag_of(KEY))
    receiver = receive()
    seen = send(receiver, path)
    assert receiver.wait() is None
    assert seen.lines == ["big: Failed(why=<Failure.BUSY: 'busy'>)"]
    with pytest.raises(NotKeptError):
        Unfinished(held.directory, b"big", tag_of(KEY))
    held.close()
    os.close(held.directory)
