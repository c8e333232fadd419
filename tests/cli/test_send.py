"""`toxvpn send`, with a stream to a receiver in a thread in place of the node's."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from toxvpn.cli import send
from toxvpn.cli.drop import DROPS
from toxvpn.cli.filescreen import ReceiverScreen, Screen
from toxvpn.config.options import ClientOptions
from toxvpn.errors import PeerOfflineError, PeerRefusedError, ToxvpnError, UsageError
from toxvpn.files.channel import Channel
from toxvpn.files.folder import open_folder
from toxvpn.files.incoming import Incoming, IntoFolder
from toxvpn.members import peers
from toxvpn.members.peers import ConfiguredPeer
from toxvpn.testing.fake_daemon import FakeDaemon
from toxvpn.wire.invite import Invite, encode
from toxvpn.wire.toxid import ToxId

BOX = ToxId(b"\xa1" * 31 + b"\1", b"spam")
TOKEN = encode(Invite(BOX, b"fifteen secrets", int(time.time()) + 3600))


class Node:
    """Gives a stream to a receiver, or fails as often as `failures` says; each is a try."""

    def __init__(self, into: Path) -> None:
        self.into = into
        self.failures: list[ToxvpnError] = []
        self.broken = 0  # how many streams break at once
        self.asked: list[tuple[ClientOptions, bool]] = []
        self.threads: list[threading.Thread] = []

    def borrow(self, options: ClientOptions, name: str, version: int, *, run_only: bool) -> Any:
        assert (name, version) == ("@files", 1)
        self.asked.append((options, run_only))
        if self.failures:
            raise self.failures.pop(0)
        ours, theirs = socket.socketpair()
        if self.broken:
            self.broken -= 1
            ours.close()
        else:
            self.threads.append(threading.Thread(target=self._receive, args=(ours,)))
            self.threads[-1].start()
        return FakeStream(theirs)

    def _receive(self, sock: socket.socket) -> None:
        directory, channel = open_folder(self.into), Channel(sock)
        try:
            view = ReceiverScreen(Screen(quiet=True), self.into, "sender")
            Incoming(channel, IntoFolder(directory, 0o022), b"k" * 32, view).run()
        finally:
            channel.close()
            os.close(directory)


class FakeStream:
    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock

    def __enter__(self) -> "FakeStream":
        return self

    def __exit__(self, *exception: object) -> None:
        self.socket.close()

    def why_it_broke(self) -> str:
        return "the connection to the peer was reset"


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    into = tmp_path / "into"
    into.mkdir()
    made = Node(into)
    monkeypatch.setattr(send, "borrow_stream", made.borrow)
    monkeypatch.setattr(send, "TRY_AGAIN_S", 0.0)
    yield made
    for thread in made.threads:
        thread.join(5)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"a photo")
    return path


@pytest.fixture
def box(here: Path) -> None:
    here.mkdir()
    peers.save(here, {BOX.public_key: ConfiguredPeer(BOX.public_key, BOX.nospam, "box")})


Toxvpn = Callable[..., Any]


def test_files_and_folders_to_a_kept_peer(
    toxvpn: Toxvpn, here: Path, box: None, node: Node, photo: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    folder.joinpath("a").write_text("a")
    ran = toxvpn("send", photo, folder, "box", "-C", here)
    assert ran.code == 0
    assert ran.err.splitlines() == ["connecting to box …", "sent photo.jpg", "sent folder/"]
    assert (node.into / "photo.jpg").read_bytes() == b"a photo"
    assert (node.into / "folder/a").read_text() == "a"
    ((options, run_only),) = node.asked
    assert (options.server, options.directory, options.secret, run_only) == (BOX, here, None, False)


def test_a_name_that_is_taken_is_told(toxvpn: Toxvpn, here: Path, box: None, node: Node, photo: Path) -> None:
    node.into.joinpath("photo.jpg").write_text("another")
    ran = toxvpn("send", photo, "box:", "-C", here)
    assert ran.code == 0
    assert "sent photo.jpg as photo (1).jpg\n" in ran.err


def test_what_does_not_arrive_makes_the_exit_code(
    toxvpn: Toxvpn, here: Path, box: None, node: Node, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    folder.joinpath("link").symlink_to("nowhere")
    ran = toxvpn("send", folder, "box", "-C", here)
    assert ran.code == 1
    assert "link: left out: a symbolic link\n" in ran.err


def test_a_drop_is_sent_to_from_an_identity_of_its_own(
    toxvpn: Toxvpn, here: Path, node: Node, photo: Path
) -> None:
    ran = toxvpn("send", photo, TOKEN, "-C", here)
    assert ran.code == 0
    ((options, run_only),) = node.asked
    assert options.directory is not None and options.directory.parent == here / DROPS
    assert options.invite is not None and options.invite.tox_id == BOX and not run_only
    assert list((here / DROPS).iterdir()) == [], "nothing is left"
    assert "toxvpn-" not in ran.err, "the text is a secret"


def test_a_drop_that_broke_goes_on_with_the_same_identity(
    toxvpn: Toxvpn, here: Path, node: Node, photo: Path
) -> None:
    for _ in range(2):
        node.failures = [PeerOfflineError("the peer was not reached in 60 s")]
        ran = toxvpn("send", photo, TOKEN, "-C", here)
        assert ran.code == 5 and "the text was used already, which is good once" in ran.err
    (first, _), (second, _) = node.asked
    assert first.directory == second.directory
    assert len(list((here / DROPS).iterdir())) == 1


def test_a_drop_that_has_expired(toxvpn: Toxvpn, here: Path, node: Node, photo: Path) -> None:
    ran = toxvpn("send", photo, encode(Invite(BOX, b"fifteen secrets", 1)), "-C", here)
    assert ran.code == 2 and "expired" in ran.err and not node.asked


def test_a_peer_that_does_not_receive(toxvpn: Toxvpn, here: Path, box: None, node: Node, photo: Path) -> None:
    node.failures = [PeerRefusedError("the peer says: not allowed")]
    ran = toxvpn("send", photo, "box", "-C", here)
    assert ran.code == 4
    assert ran.err.endswith(
        "toxvpn: box does not receive from this machine now: run `toxvpn receive` there, then send again\n"
    )


def test_what_breaks_is_tried_again_and_said_once(
    toxvpn: Toxvpn, here: Path, box: None, node: Node, photo: Path
) -> None:
    node.broken = 3
    ran = toxvpn("send", photo, "box", "-C", here)
    assert ran.code == 0 and len(node.asked) == 4
    assert ran.err.count("the transfer broke: the connection to the peer was reset; trying again") == 1


def test_it_gives_up_in_the_end(
    toxvpn: Toxvpn, here: Path, box: None, node: Node, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(send, "GIVE_UP_S", -1.0)
    node.broken = 1
    ran = toxvpn("send", photo, "box", "-C", here)
    assert ran.code == 1 and "the same command again goes on where it was" in ran.err


def test_a_peer_that_only_the_running_toxvpn_reaches(
    toxvpn: Toxvpn, here: Path, node: Node, photo: Path
) -> None:
    with FakeDaemon(here) as daemon:
        known = [peer for peer in daemon.status.peers if peer.dns_name]
        for peer in known:
            for text in (peer.dns_name, str(peer.ipv6), peer.public_key.hex()):
                assert toxvpn("send", photo, text, "-C", here).code == 0
                options, run_only = node.asked[-1]
                assert options.server.public_key == peer.public_key and run_only
    assert known


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["missing.jpg", "box"], "cannot send missing.jpg: No such file or directory"),
        (["box", "photo.jpg"], "the peer comes last: toxvpn send FILE... PEER"),
        (["/dev/null", "box"], "only files and folders can be sent"),
        (["photo.jpg", "nobody"], "'nobody' is not a Tox ID, nor a peer that is kept here"),
        (["photo.jpg", "box:/tmp"], "leave out ':/tmp'"),
        (["box"], "missing argument"),
    ],
)
def test_mistakes_are_told_before_anything_is_sent(
    toxvpn: Toxvpn, here: Path, box: None, node: Node, photo: Path, words: list[str], text: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(photo.parent)
    ran = toxvpn("send", *words, "-C", here)
    assert ran.code in (1, 2, 4) and text in ran.err
    assert not node.asked


@pytest.mark.parametrize("text", ["box:", "fd74:6f78::1", "100.64.0.1"])
def test_a_colon_in_the_name_of_a_peer(text: str) -> None:
    assert send.without_colon(text) == text.removesuffix(":")
    with pytest.raises(UsageError):
        send.without_colon("box:folder")
