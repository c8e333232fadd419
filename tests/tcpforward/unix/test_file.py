"""The socket file of a listener: private, replaced only when it is a stale one of our own, and removed."""

import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from toxvpn.errors import NoPermissionError, ToxvpnError
from toxvpn.tcpforward.bind import bind
from toxvpn.tcpforward.spec import UnixListen
from toxvpn.tcpforward.unix.file import SocketFile
from toxvpn.testing.netns import SOMEBODY, as_somebody

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for two users")


@pytest.fixture
def path(tmp_path: Path, no_descriptor_is_left: None) -> Path:
    return tmp_path / "a.sock"


@pytest.fixture
def made(path: Path) -> Iterator[SocketFile]:
    with SocketFile(UnixListen(str(path))) as listener:
        yield listener


def leave_stale(path: Path, kind: socket.SocketKind = socket.SOCK_STREAM) -> None:
    with socket.socket(socket.AF_UNIX, kind) as killed:
        killed.bind(str(path))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def refused(path: Path, why: str, error: type[ToxvpnError] = ToxvpnError) -> None:
    before = path.lstat()
    with pytest.raises(error, match=why):
        SocketFile(UnixListen(str(path)))
    assert path.lstat() == before


def test_it_is_private_and_removed_at_the_end(path: Path) -> None:
    before = os.umask(0)
    try:
        (listener,) = bind(UnixListen(str(path)))
    finally:
        os.umask(before)
    assert mode(path) == 0o600
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    listener.close()
    listener.close()
    assert not path.exists()


def test_its_mode_is_what_was_asked_for_whatever_the_umask(path: Path) -> None:
    before = os.umask(0o077)
    try:
        with SocketFile(UnixListen(str(path), 0o660)) as listener:
            assert mode(path) == 0o660
            listener.set_mode(0o606)
            assert mode(path) == 0o606
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(before)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
def test_what_a_killed_program_has_left_is_replaced(path: Path, kind: socket.SocketKind) -> None:
    leave_stale(path, kind)
    with SocketFile(UnixListen(str(path))), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_one_in_use_stays(path: Path, made: SocketFile) -> None:
    refused(path, "a program listens there")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_one_in_use_whose_queue_is_full_stays(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
        busy.bind(str(path))
        busy.listen(0)
        waiting.connect(str(path))
        refused(path, "a program listens there")


def test_one_in_use_that_takes_datagrams_stays(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(path))
        refused(path, "a program listens there")


def test_what_is_not_a_socket_stays(path: Path) -> None:
    path.write_text("mine")
    refused(path, "not a socket")
    path.unlink()
    path.mkdir()
    refused(path, "not a socket")


def test_a_link_stays_even_to_a_stale_socket(path: Path) -> None:
    leave_stale(path.with_name("other"))
    path.symlink_to("other")
    refused(path, "not a socket")


@as_root
def test_a_stale_socket_of_another_user_stays(path: Path) -> None:
    leave_stale(path)
    os.chown(path, SOMEBODY, SOMEBODY)
    refused(path, "another user has left a socket", NoPermissionError)


@as_root
def test_a_link_of_another_user_does_not_lead_elsewhere(path: Path) -> None:
    stale = path.parent / "private" / "a.sock"
    stale.parent.mkdir()
    leave_stale(stale)
    link = path.parent / "link"
    link.symlink_to("private")
    os.chown(link, SOMEBODY, SOMEBODY, follow_symlinks=False)
    with pytest.raises(NoPermissionError, match="a link in it belongs to another user"):
        SocketFile(UnixListen(str(link / "a.sock")))
    assert stale.exists()
    os.chown(link, 0, 0, follow_symlinks=False)
    SocketFile(UnixListen(str(link / "a.sock"))).close()
    assert not stale.exists()


def test_a_file_that_has_taken_its_name_stays(path: Path, made: SocketFile) -> None:
    path.unlink()
    path.write_text("mine")
    made.set_mode(0o666)
    made.close()
    assert path.read_text() == "mine"
    assert mode(path) != 0o666


def test_a_missing_directory_is_named(path: Path) -> None:
    with pytest.raises(ToxvpnError, match="no such directory"):
        SocketFile(UnixListen(str(path / "b")))


@as_root
def test_it_belongs_to_the_user_that_the_process_has_become() -> None:
    def listen() -> tuple[int, int]:
        with SocketFile(UnixListen(str(file))):
            info = file.lstat()
        with pytest.raises(NoPermissionError, match="directory of your own"):
            SocketFile(UnixListen("/etc/a.sock"))
        return info.st_uid, stat.S_IMODE(info.st_mode)

    with tempfile.TemporaryDirectory() as directory:  # not below tmp_path, which is root's alone
        file = Path(directory) / "a.sock"
        os.chown(directory, SOMEBODY, SOMEBODY)
        assert as_somebody(listen) == (SOMEBODY, 0o600)
        assert not file.exists()
