"""`toxvpn exec`: which network a command enters, what it waits for, and what it becomes."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from toxvpn.cli import exec as module
from toxvpn.config.flags import UserNetwork
from toxvpn.control.join import NETWORK_VARIABLE, Joined
from toxvpn.errors import PeerOfflineError, ToxvpnError
from toxvpn.members.peers import ConfiguredPeer
from toxvpn.testing.fake_daemon import FakeDaemon
from toxvpn.testing.fake_status import ALICE
from toxvpn.testing.options import up_options
from toxvpn.wire.toxid import ToxId

BOX = ToxId(bytes([0xB7]) * 31 + b"\1", b"spam")
OWNER = 12345


class Entered(list[tuple[int, Path, Sequence[str]]]):
    """Instead of entering and becoming: what was entered, and what this process would be now."""


@pytest.fixture
def entered(monkeypatch: pytest.MonkeyPatch) -> Entered:
    monkeypatch.setenv(NETWORK_VARIABLE, "")  # which is restored after the test
    commands = Entered()
    where: list[tuple[int, Path]] = []
    monkeypatch.setattr("toxvpn.usernet.enter.enter", lambda owner, path: where.append((owner, path)))
    monkeypatch.setattr("toxvpn.usernet.enter.become", lambda words: commands.append((*where.pop(), words)))
    return commands


def network(directory: Path, *, internet: bool = False) -> FakeDaemon:
    """One that runs, and lets commands in."""
    answer = {"owner": OWNER, "resolv_conf": str(directory / "resolv.conf"), "internet": internet}
    return FakeDaemon(directory, {"join": answer})


def test_without_a_running_network_it_starts_one(
    toxvpn: Any, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child process gets that far; its parent goes on when the network is up."""
    monkeypatch.setattr(os, "fork", lambda: 0)
    ran = toxvpn("exec", "--peer", str(BOX), "--internet", "--mtu", "1280", "-C", here, "--", "ping", "box")
    assert ran.options == up_options(
        directory=here,
        mtu=1280,
        daemonize=True,
        peers=(ConfiguredPeer(BOX.public_key, b"spam"),),
        user_network=UserNetwork(internet=True, command=os.getpid()),
    )


def test_a_network_that_does_not_come_up(
    toxvpn: Any, here: Path, monkeypatch: pytest.MonkeyPatch, entered: Entered
) -> None:
    child = os.spawnlp(os.P_NOWAIT, "sh", "sh", "-c", "exit 77")
    monkeypatch.setattr(os, "fork", lambda: child)
    assert toxvpn("exec", "--peer", str(BOX), "-C", here, "ping", "box").code == 77
    assert not entered


def test_a_running_network_is_entered_at_once(toxvpn: Any, here: Path, entered: Entered) -> None:
    with network(here) as daemon:
        ran = toxvpn("-C", here, "exec", "--", "sh", "-c", "exit 3")
    assert (ran.code, ran.err, ran.started) == (0, "", [])
    assert entered == [(OWNER, here / "resolv.conf", ("sh", "-c", "exit 3"))]
    assert [asked.arguments for asked in daemon.asked] == [{"process": os.getpid()}]


def test_inside_there_is_nothing_to_enter(
    toxvpn: Any, here: Path, entered: Entered, monkeypatch: pytest.MonkeyPatch
) -> None:
    with network(here):
        toxvpn("-C", here, "exec", "true")
        assert os.environ[NETWORK_VARIABLE] == str(OWNER)
        monkeypatch.setattr("toxvpn.usernet.enter.become", lambda words: 5)
        assert toxvpn("-C", here, "exec", "true").code == 5


def test_the_options_of_the_command_are_its_own(toxvpn: Any, here: Path, entered: Entered) -> None:
    with network(here):
        toxvpn("-C", here, "exec", "ping", "-c", "1", "--peer", "box", "-C")
    assert entered[0][2] == ("ping", "-c", "1", "--peer", "box", "-C")


def test_it_waits_for_the_peers_that_are_named(toxvpn: Any, here: Path, entered: Entered) -> None:
    with network(here):  # alice is online
        ran = toxvpn("exec", "--peer", ALICE.hex(), "-C", here, "true")
        assert (ran.code, len(entered)) == (0, 1), ran.err
        ran = toxvpn("exec", "--peer", str(BOX), "-C", here, "true")
        assert (ran.code, len(entered)) == (4, 1), "it is not a peer of that network"


@pytest.mark.parametrize("named", [True, False])
def test_peers_that_are_away(
    toxvpn: Any, here: Path, entered: Entered, named: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was named is needed; of the others some may be."""
    asked: list[dict[str, Any]] = []

    def ask(settings: object, do: str, **arguments: Any) -> None:
        asked.append(arguments)
        raise PeerOfflineError("not reached in time: box")

    monkeypatch.setattr(module, "ask", ask)
    monkeypatch.setattr(os, "fork", lambda: 1)
    monkeypatch.setattr(module, "exit_code", lambda child: 0)
    answers = iter([None, Joined(OWNER, here, False)])
    monkeypatch.setattr(module, "join_running", lambda settings: next(answers))
    peers = ["--peer", str(BOX)] if named else []
    ran = toxvpn("exec", *peers, "-C", here, "true")
    assert (ran.code, len(entered)) == ((5, 0) if named else (0, 1))
    assert "not reached in time: box" in ran.err
    assert ("; the command is run all the same" in ran.err) is not named
    assert asked[0]["timeout_s"] == (None if named else module.UNNAMED_PEERS_S)


def test_a_network_without_the_internet(toxvpn: Any, here: Path, entered: Entered) -> None:
    with network(here):
        ran = toxvpn("exec", "--internet", "-C", here, "true")
    assert (ran.code, len(entered)) == (2, 0)
    assert "no way to the Internet" in ran.err
    with network(here, internet=True):
        assert toxvpn("exec", "--internet", "-C", here, "true").code == 0


def test_a_toxvpn_of_another_kind_runs(toxvpn: Any, here: Path, entered: Entered) -> None:
    with FakeDaemon(here, {"join": ToxvpnError("run it without exec")}):
        ran = toxvpn("exec", "-C", here, "true")
    assert (ran.code, ran.err, len(entered)) == (1, "toxvpn: run it without exec\n", 0)


def test_a_shared_node_that_nobody_uses_gives_way(
    toxvpn: Any, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fork", lambda: 0)
    with FakeDaemon(here, {"give-way": True}):
        assert len(toxvpn("exec", "-C", here, "true").started) == 1


def test_without_a_command(toxvpn: Any, here: Path) -> None:
    ran = toxvpn("exec", "-C", here)
    assert ran.code == 2 and "the command is missing" in ran.err
