"""`toxvpn ssh`: which command line it becomes."""

import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from toxvpn.cli import ssh
from toxvpn.control.join import NETWORK_VARIABLE
from toxvpn.members import peers
from toxvpn.members.peers import ConfiguredPeer
from toxvpn.testing.fake_daemon import FakeDaemon
from toxvpn.testing.fake_status import ALICE, CAROL
from toxvpn.wire import invite
from toxvpn.wire.invite import Invite
from toxvpn.wire.toxid import ToxId

BOX = ToxId(bytes(range(32)), b"\1\2\3\4")
ALIAS = "HostKeyAlias=toxvpn-0001020304050607"
TOKEN = invite.encode(Invite(BOX, bytes(15), 1 << 31))


@pytest.fixture
def kept(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that keeps the peer `box`; ssh is not run."""
    monkeypatch.setattr(os, "execvp", lambda *_: pytest.fail("ssh was run"))
    here.mkdir()
    peers.save(here, {BOX.public_key: ConfiguredPeer(BOX.public_key, BOX.nospam, "box")})
    return here


def became(toxvpn: Any, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> list[str]:
    """ssh's arguments."""
    found: list[list[str]] = []
    monkeypatch.setattr(ssh, "become_ssh", found.append)
    monkeypatch.setattr(ssh, "first_to_answer", lambda addresses, port: next(iter(addresses), None))
    ran = toxvpn(*arguments)
    assert (ran.code, ran.out) == (0, "")
    (words,) = found
    return list(words)


def proxy_of(words: list[str]) -> list[str]:
    """The program that ssh would start, as the shell sees it."""
    (option,) = [word for word in words if word.startswith("ProxyCommand=")]
    return shlex.split(option.removeprefix("ProxyCommand=").replace("%%", "%"))


def test_its_own_options_go_before_the_destination(
    toxvpn: Any, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = became(toxvpn, monkeypatch, "-C", kept, "ssh", "-vp", "2222", "-lme", "box", "-C", "ls", "-l")
    proxy = f"ProxyCommand={shlex.join([sys.executable, '-m', 'toxvpn', '-C', str(kept), '-i', 'box'])}"
    assert words == [
        "-vp", "2222", "-lme", "-o", f"{proxy} -P localhost:%p", "-o", ALIAS, "box", "-C", "ls", "-l"
    ]  # fmt: skip


DESTINATIONS = {
    ("box",): "box",
    ("me@box",): "me@box",
    ("me@corp@box",): "me@corp@box",
    ("ssh://me@box:2222",): "ssh://me@box:2222",
    ("ssh://box",): "ssh://box",
    ("-4A", "-i", "key", "-oUser=me", "-o", "Port=2", "-L1:a:2", "-J", "x", "box", "cmd"): "box",
    ("-p", "22", "--", "box"): "box",
}


@pytest.mark.parametrize("arguments", DESTINATIONS, ids=" ".join)
def test_the_destination_is_found(
    toxvpn: Any, kept: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    words = became(toxvpn, monkeypatch, "-C", kept, "ssh", *arguments)
    place = words.index(DESTINATIONS[arguments])
    own = words[:place] if words[place - 1] != "--" else words[: place - 1]
    assert own[-1] == ALIAS
    assert proxy_of(words)[-4:] == ["-i", "box", "-P", "localhost:%p"]


def test_an_id_and_a_key_are_one_host(toxvpn: Any, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = BOX.public_key.hex()[:16]
    for text, host in ((str(BOX), short), (BOX.public_key.hex(), short), ("00010203", "00010203")):
        words = became(toxvpn, monkeypatch, "-C", kept, "ssh", f"me@{text}")
        assert words[-1] == f"me@{host}" and ALIAS in words
        assert proxy_of(words)[-3] == text


def test_the_socket_of_a_master_has_a_name_of_bearable_length(
    toxvpn: Any, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "ControlPath=/home/somebody/.ssh/master-%r@%h:%p"
    words = became(toxvpn, monkeypatch, "-C", kept, "ssh", "-G", "-o", path, f"somebody@{BOX}")
    said = subprocess.run(["ssh", "-F", "none", *words], capture_output=True, text=True, check=True).stdout
    (line,) = [line for line in said.splitlines() if line.startswith("controlpath ")]
    random = 17  # letters that ssh adds while it makes the socket
    assert len(line.removeprefix("controlpath ")) + random < 108


def test_what_is_for_toxvpn_goes_on(toxvpn: Any, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(kept)
    (kept / "it's 100% odd").touch()
    words = became(
        toxvpn, monkeypatch, "-C", ".", "-b", "nodes", "-d", "ssh", "--secret-file", "it's 100% odd",
        "--road", "tuntox", "--no-share", "--proxy", "socks5://localhost:9050", "box",
    )  # fmt: skip
    assert proxy_of(words)[3:] == [
        "-C", str(kept), "-b", str(kept / "nodes"), "-d", "--secret-file", str(kept / "it's 100% odd"),
        "--road", "tuntox", "--proxy", "socks5://localhost:9050", "--no-share",
        "-i", "box", "-P", "localhost:%p",
    ]  # fmt: skip


def test_ssh_reads_it_as_meant(toxvpn: Any, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And it can all be overridden."""
    if not Path("/usr/bin/ssh").exists():
        pytest.skip("no ssh here")

    def read(*arguments: str) -> dict[str, str]:
        words = became(toxvpn, monkeypatch, "-C", kept, "ssh", "-F", "none", "-G", *arguments)
        said = subprocess.run(["ssh", *words], capture_output=True, text=True, check=True).stdout
        return dict(line.split(" ", 1) for line in said.splitlines() if " " in line)

    meant = read("-p", "2222", "me@box")
    assert (meant["user"], meant["hostname"], meant["port"]) == ("me", "box", "2222")
    assert meant["hostkeyalias"] == ALIAS.partition("=")[2]
    assert read("-o", "HostKeyAlias=other", "box")["hostkeyalias"] == "other"


class TestTheNetworkIsUp:
    @pytest.fixture
    def up(self, kept: Path) -> Iterator[FakeDaemon]:
        peers.save(
            kept,
            {key: ConfiguredPeer(key, b"spam", name) for key, name in ((ALICE, "alice"), (CAROL, "carol"))},
        )
        with FakeDaemon(kept) as daemon:
            yield daemon

    def test_a_peer_is_called_by_its_address(
        self, toxvpn: Any, kept: Path, up: FakeDaemon, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        words = became(toxvpn, monkeypatch, "-C", kept, "ssh", "-p", "2222", "me@alice")
        alias = f"HostKeyAlias=toxvpn-{ALICE.hex()[:16]}"
        assert words == ["-p", "2222", "-o", "HostName=fd74:6f78::2", "-o", alias, "me@alice"]

    @pytest.mark.parametrize("name", ["nas", "Nas.tox.internal"])
    def test_a_peer_is_called_by_what_it_calls_itself(
        self, toxvpn: Any, kept: Path, up: FakeDaemon, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        peers.save(kept, {})
        named = [replace(each, name=None, dns_name="nas.tox.internal") for each in up.status.peers[2:]]
        up.status = replace(up.status, peers=named)
        words = became(toxvpn, monkeypatch, "-C", kept, "ssh", name)
        alias = f"HostKeyAlias=toxvpn-{ALICE.hex()[:16]}"
        assert words == ["-o", "HostName=fd74:6f78::2", "-o", alias, name]
        monkeypatch.setattr(ssh, "first_to_answer", lambda addresses, port: None)
        ran = toxvpn("-C", kept, "ssh", name)
        assert ran.code == 5 and f"{name} does not answer at its address" in ran.err
        up.status = replace(up.status, peers=[])
        ran = toxvpn("-C", kept, "ssh", name)
        assert ran.code != 0 and "is not a Tox ID, nor a peer" in ran.err

    def test_the_address_is_one_that_the_peer_answers_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def answers(address: tuple[str, int], timeout_s: float) -> Any:
            asked.append(address)
            raise OSError("no route") if ":" in address[0] else ConnectionRefusedError

        asked: list[tuple[str, int]] = []
        monkeypatch.setattr(socket, "create_connection", answers)
        assert ssh.first_to_answer(["fd74:6f78::2", "100.64.7.2"], 2222) == "100.64.7.2"
        assert asked == [("fd74:6f78::2", 2222), ("100.64.7.2", 2222)]
        assert ssh.first_to_answer(["fd74:6f78::2"], 22) is None

    def test_a_peer_that_answers_on_none_is_called_through_the_run(
        self, toxvpn: Any, kept: Path, up: FakeDaemon, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        peers = [replace(each, ipv4=None, ipv6=None) for each in up.status.peers]
        up.status = replace(up.status, peers=peers)
        assert proxy_of(became(toxvpn, monkeypatch, "-C", kept, "ssh", "alice"))[-4:] == [
            "-i", "alice", "-P", "localhost:%p"
        ]  # fmt: skip

    def test_one_that_is_away_is_told(
        self, toxvpn: Any, kept: Path, up: FakeDaemon, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ran = toxvpn("-C", kept, "ssh", "carol")
        assert ran.code == 5 and "carol is not online" in ran.err.replace(CAROL.hex()[:8], "carol")

    @pytest.mark.parametrize("inside", [False, True])
    def test_the_network_of_a_user_is_for_those_inside(
        self, toxvpn: Any, kept: Path, up: FakeDaemon, monkeypatch: pytest.MonkeyPatch, inside: bool
    ) -> None:
        up.status = replace(up.status, own=replace(up.status.own, namespace_owner=4711))
        monkeypatch.setenv(NETWORK_VARIABLE, "4711" if inside else "")
        words = " ".join(became(toxvpn, monkeypatch, "-C", kept, "ssh", "alice"))
        assert ("HostName=fd74:6f78::2" in words, "ProxyCommand=" in words) == (inside, not inside)

    def test_with_a_secret_it_is_not_asked(
        self, toxvpn: Any, kept: Path, up: FakeDaemon, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TOXVPN_SHARED_SECRET", "x")
        assert proxy_of(became(toxvpn, monkeypatch, "-C", kept, "ssh", "alice"))

    def test_another_kind_of_run_has_no_network(
        self, toxvpn: Any, kept: Path, up: FakeDaemon, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        up.status = replace(up.status, own=replace(up.status.own, mode="client"))
        assert proxy_of(became(toxvpn, monkeypatch, "-C", kept, "ssh", "alice"))


def test_an_invite_is_kept_and_not_shown(toxvpn: Any, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):  # the second time it is known
        words = became(toxvpn, monkeypatch, "-C", here, "ssh", f"me@{TOKEN}")
        assert words[-1] == f"me@{BOX.public_key.hex()[:16]}"
        assert "toxvpn-a" not in " ".join(words)
    (peer,) = peers.load(here).values()
    assert peer.invite is not None and peer.tox_id == BOX


def test_without_a_destination_ssh_has_the_word(
    toxvpn: Any, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert became(toxvpn, monkeypatch, "ssh", "-V") == ["-V"]
    assert became(toxvpn, monkeypatch, "ssh", "-Q", "cipher") == ["-Q", "cipher"]


MISTAKES: dict[tuple[str, ...], tuple[int, str]] = {
    (): (2, "the peer is missing"),
    ("me@nobody",): (4, "'nobody' is not a Tox ID, nor a peer that is kept here"),
    (f"me@{str(BOX)[:-1]}",): (2, "75 digits"),
    ("--road", "slow", "box"): (2, "slow"),
}


@pytest.mark.parametrize("arguments", MISTAKES, ids=" ".join)
def test_a_mistake_is_told_before_ssh_runs(toxvpn: Any, kept: Path, arguments: tuple[str, ...]) -> None:
    code, message = MISTAKES[arguments]
    ran = toxvpn("-C", kept, "ssh", *arguments)
    assert (ran.code, ran.err.count("\n")) == (code, 1)
    assert message in ran.err


def test_ssh_is_not_installed(toxvpn: Any, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("PATH", "/nonexistent")
    ran = toxvpn("-C", kept, "ssh", "box")
    assert ran.code == 1 and "cannot run ssh" in ran.err


def test_the_program_is_found_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from toxvpn.cli.shared import Settings

    script = tmp_path / "toxvpn"
    script.touch(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["./toxvpn"])
    assert ssh.ourselves(Settings()) == [str(script)]
    script.chmod(0o600)
    assert ssh.ourselves(Settings()) == [sys.executable, "-m", "toxvpn"]
