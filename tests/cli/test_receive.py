"""`toxvpn receive`, with a run in place of a node: its streams come from senders in threads."""

import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from toxvpn.cli import drop
from toxvpn.cli.drop import DROPS, drop_directory, drop_text, remove_drop
from toxvpn.cli.filescreen import Screen, SenderScreen
from toxvpn.control import socketfile
from toxvpn.errors import NoPermissionError
from toxvpn.files.channel import Channel
from toxvpn.files.outgoing import Outgoing
from toxvpn.files.sources import find_sources, measure
from toxvpn.members import friends, invites
from toxvpn.members.friends import FriendBook, Grant
from toxvpn.share import messages
from toxvpn.share.handout import FILES_SOCKET_NAME
from toxvpn.state.identity import Identity, IdentityInUseError
from toxvpn.wire.invite import decode

KEY = b"k" * 32
Toxvpn = Callable[..., Any]


class FakeRun:
    """Hands a stream of a sender to the command for each list of paths, then ends or waits."""

    def __init__(self, directory: Path, *sent: list[Path], answer: dict[str, Any] | None = None) -> None:
        directory.mkdir(exist_ok=True)
        self.path = directory / FILES_SOCKET_NAME
        self.request: dict[str, Any] | None = None
        self._sent = sent
        self._answer = answer or {"taken": True}
        self._listener = socketfile.listen_as(self.path, messages.KIND)
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> "FakeRun":
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._listener.close()
        self._thread.join(10)
        self.path.unlink(missing_ok=True)

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            self.request, _ = messages.receive(connection)
            messages.send(connection, self._answer)
            for paths in self._sent:
                ours, theirs = socket.socketpair()
                with theirs:
                    message = {"stream": KEY.hex(), "name": "box\x1b[2J"}
                    messages.send(connection, message, [theirs.fileno()])
                send(ours, paths)
            connection.recv(1)  # until the command ends


def send(sock: socket.socket, paths: list[Path]) -> None:
    channel = Channel(sock)
    sources = find_sources([str(path) for path in paths])
    outgoing = Outgoing(channel, SenderScreen(Screen(quiet=True), "there"))
    outgoing.begin(*measure(sources))
    for source in sources:
        outgoing.send(source)
    outgoing.end()
    channel.close()


@pytest.fixture
def into(tmp_path: Path) -> Path:
    made = tmp_path / "into"
    made.mkdir()
    return made


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"a photo")
    return path


def test_paths_are_on_stdout_and_all_else_on_stderr(
    toxvpn: Toxvpn, here: Path, into: Path, photo: Path
) -> None:
    with FakeRun(here, [photo]) as run:
        ran = toxvpn("receive", "--once", "--into", into, "-C", here)
    assert (ran.code, ran.out) == (0, f"{into}/photo.jpg\n")
    assert ran.err.splitlines()[1] == "box\ufffd[2J sends 1 file, 7 B"
    assert run.request == {"from": None}
    assert (into / "photo.jpg").read_bytes() == b"a photo"


def test_a_name_cannot_make_two_lines_of_a_path(
    toxvpn: Toxvpn, here: Path, into: Path, tmp_path: Path
) -> None:
    photo = tmp_path / "photo\npasswd\x1b"
    photo.write_bytes(b"a photo")
    with FakeRun(here, [photo]) as run:
        ran = toxvpn("receive", "--once", "--into", into, "-C", here)
    assert run.request and ran.out == f"{into}/photo_passwd_\n"
    assert [each.name for each in into.iterdir()] == ["photo_passwd_"]


def test_only_from_some(toxvpn: Toxvpn, here: Path, into: Path, photo: Path) -> None:
    with FakeRun(here, [photo]) as run:
        toxvpn("receive", "--once", "--from", "box", "--from", "nas", "--into", into, "-C", here)
    assert run.request == {"from": ["box", "nas"]}


def test_what_the_run_says_is_the_error(toxvpn: Toxvpn, here: Path, into: Path) -> None:
    answer = {"ended": 4, "text": "no peer 'x' is known here"}
    with FakeRun(here, answer=answer):
        ran = toxvpn("receive", "--from", "x", "--into", into, "-C", here)
    assert (ran.code, ran.err) == (4, "toxvpn: no peer 'x' is known here\n")


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["--from", "box"], 3, "no toxvpn runs here"),
        (["-U", "nobody"], 2, "run this as nobody instead"),
        (["--drop", "--from", "box"], 2, "leave one out"),
        (["--into", "/nowhere"], 78, "there is no folder /nowhere"),
    ],
)
def test_mistakes(toxvpn: Toxvpn, here: Path, words: list[str], code: int, text: str) -> None:
    ran = toxvpn("receive", *words, "-C", here)
    assert ran.code == code and text in ran.err


def test_a_drop_has_the_same_text_until_it_is_used_up(here: Path) -> None:
    folder = drop_directory(here, b"into here")
    text = drop_text(folder)
    assert drop_text(folder) == text
    assert drop_text(drop_directory(here, b"into elsewhere")) != text
    (outstanding,) = invites.load(folder)
    assert outstanding.may == frozenset() and outstanding.closed
    remove_drop(folder)
    assert drop_text(drop_directory(here, b"into here")) != text


def test_a_drop_that_has_expired_is_replaced_unless_its_sender_has_begun(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = drop_directory(here, b"into here")
    text = drop_text(folder)
    later = decode(text).expires + 1.0
    monkeypatch.setattr(time, "time", lambda: later)
    book = FriendBook()
    book.authorise(KEY, Grant.INVITE, later)
    friends.save(folder, book)
    assert drop_text(folder) == text
    friends.save(folder, FriendBook())
    assert drop_text(folder) != text


def test_a_drop_is_open_once(here: Path) -> None:
    folder = drop_directory(here, b"into here")
    drop_text(folder)
    with Identity.open(folder), pytest.raises(IdentityInUseError):
        drop_text(folder)


def test_a_directory_of_another_user_is_not_used(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here.mkdir()
    here.chmod(0o755)
    own = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: own + 1 if own else 0)
    if own == 0:
        os.chown(here, 65534, 65534)
    with pytest.raises(NoPermissionError, match="belongs to"):
        drop_directory(here, b"into here")


def test_forgotten_drops_are_removed(here: Path) -> None:
    old = drop_directory(here, b"into old")
    drop_text(old)
    os.utime(old, (0, 0))
    drop_directory(here, b"into new")
    assert len(list((here / DROPS).iterdir())) == 1


def test_a_drop_takes_files_once_and_leaves_nothing(
    toxvpn: Toxvpn, here: Path, into: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process of its node is one that does nothing; the run that it would have is made here."""
    monkeypatch.setattr(drop, "NODE", "import time; time.sleep(60)")
    folder = drop_directory(here, b"into " + os.fsencode(into))
    with FakeRun(folder, [photo]):
        ran = toxvpn("receive", "--into", into, "-C", here)
    assert ran.code == 0
    assert "  toxvpn send FILE toxvpn-" in ran.err
    assert ran.out == f"{into}/photo.jpg\n"
    assert list((here / DROPS).iterdir()) == []


def test_a_node_that_cannot_start_says_why(
    toxvpn: Toxvpn, here: Path, into: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drop, "NODE", "print('no port is free'); sys.exit(1)")
    ran = toxvpn("receive", "--into", into, "-C", here)
    assert (ran.code, ran.err) == (1, "toxvpn: no port is free\n")
