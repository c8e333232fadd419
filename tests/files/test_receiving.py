"""Several streams at once: their bounds, and one that makes way for another of the same sender."""

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from toxvpn.files import incoming, receiving
from toxvpn.files.folder import open_folder
from toxvpn.files.incoming import IntoFolder
from toxvpn.files.receiving import MOST_OF_ONE, Receiving, SessionView
from toxvpn.wire.filetransfer import Begin, Busy, File, SendFrom, encode

from .transfers import KEY, Seen, send

OTHER = bytes(32)


class View(Seen):
    def __init__(self) -> None:
        super().__init__()
        self.closed = threading.Event()

    def interrupted(self, reason: str) -> None:
        self.lines.append(f"interrupted: {reason}")

    def close(self) -> None:
        self.closed.set()


class Folder:
    """What receives, and the sockets of the senders."""

    def __init__(self, into: Path) -> None:
        self.complete: list[SessionView] = []
        self._directory = open_folder(into)
        self._receiving = Receiving(IntoFolder(self._directory, 0o022), self.complete.append)
        self._sockets: list[socket.socket] = []

    def start(self, public_key: bytes = KEY) -> tuple[socket.socket, View]:
        theirs, ours = socket.socketpair()
        self._sockets.append(theirs)
        view = View()
        self._receiving.start(ours, public_key, view)
        return theirs, view

    def close(self) -> None:
        self._receiving.close()
        for each in self._sockets:
            each.close()
        os.close(self._directory)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    into = tmp_path / "into"
    into.mkdir()
    made = Folder(into)
    yield made
    made.close()


class Wired:
    """A socket, as `send` wants it."""

    def __init__(self, sock: socket.socket) -> None:
        self.theirs = sock


def test_who_has_sent_all_is_told(tmp_path: Path, folder: Folder) -> None:
    path = tmp_path / "a"
    path.write_text("a")
    sock, view = folder.start()
    send(Wired(sock), path)  # type: ignore[arg-type]
    assert view.closed.wait(5)
    assert folder.complete == [view]
    assert (tmp_path / "into/a").read_text() == "a"


def test_a_stream_that_breaks_is_told(folder: Folder) -> None:
    sock, view = folder.start()
    sock.sendall(encode(Begin(1, 1)))
    sock.close()
    assert view.closed.wait(5)
    assert view.lines[-1].startswith("interrupted: ") and not folder.complete


def test_one_sender_has_a_bound(folder: Folder) -> None:
    for _ in range(MOST_OF_ONE):
        folder.start()
    sock, view = folder.start()
    assert view.lines == ["interrupted: it has too many streams open"]
    assert sock.recv(1) == b""
    _, view = folder.start(OTHER)
    assert view.lines == []


def test_all_senders_together_have_a_bound(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "MOST_STREAMS", 1)
    folder.start()
    assert folder.start(OTHER)[1].lines


def test_a_silent_stream_makes_way_for_the_next_of_the_same_sender(
    tmp_path: Path, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a sender is back while nobody here has noticed that its first connection is dead."""
    monkeypatch.setattr(receiving, "SILENT_S", 0.0)
    monkeypatch.setattr(incoming, "LOOK_AGAIN_S", 0.01)
    file = encode(File((b"a",), 100_000, 0, False, 0))
    first, first_view = folder.start()
    first.sendall(file)
    assert first.recv(100) == encode(SendFrom(0))
    second, _ = folder.start()
    second.sendall(file)
    heard = second.makefile("rb")
    while (line := heard.readline()) == encode(Busy()):
        pass
    assert line == encode(SendFrom(0))
    assert first_view.closed.wait(5)


def test_the_stream_of_another_sender_does_not_have_to(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "SILENT_S", 0.0)
    file = encode(File((b"a",), 100_000, 0, False, 0))
    first, first_view = folder.start()
    first.sendall(file)
    assert first.recv(100) == encode(SendFrom(0))
    second, _ = folder.start(OTHER)
    second.sendall(file)
    assert second.recv(100) == encode(SendFrom(0)), "its unfinished file has another name"
    assert not first_view.closed.is_set()
