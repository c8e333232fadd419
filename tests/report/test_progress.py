"""The one line that a terminal shows while something is waited for."""

import logging
import os
import pty
from collections.abc import AsyncIterator, Iterator
from typing import TextIO

import pytest

from toxvpn._native.net import netio
from toxvpn._native.results import Connection
from toxvpn.report import progress as module
from toxvpn.report.progress import CLEAR, describe_wait, join_names, progress, terminal
from toxvpn.testing.fake_nodes import Network, until
from toxvpn.tox.node import Node
from toxvpn.tox.peer import Peer

LOG = logging.getLogger("toxvpn")
ALICE = bytes([1]) * 32
NONE, RELAY, DIRECT = Connection.NONE, Connection.TCP, Connection.UDP


@pytest.fixture
async def network() -> AsyncIterator[Network]:
    made = Network()
    yield made
    made.close()


class Screen:
    """A terminal of 60 columns that gets the log, and what stands in its last line."""

    def __init__(self) -> None:
        self._master, slave = pty.openpty()
        os.set_blocking(self._master, False)
        os.system(f"stty -F {os.ttyname(slave)} columns 60")
        self.stream: TextIO = os.fdopen(slave, "w")
        self.text = ""

    def read(self) -> str:
        try:
            while data := os.read(self._master, 4096):
                self.text += data.decode()
        except BlockingIOError:
            pass
        return self.text

    @property
    def lines(self) -> list[str]:
        """As a person sees them."""
        return [line.rpartition(CLEAR)[2].strip("\r") for line in self.read().split("\n")]

    @property
    def line(self) -> str:
        return self.lines[-1]

    def close(self) -> None:
        self.stream.close()
        os.close(self._master)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen]:
    made = Screen()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(LOG, "handlers", [logging.StreamHandler(made.stream)])
    monkeypatch.setattr(LOG, "level", logging.INFO)
    LOG.manager._clear_cache()  # type: ignore[attr-defined]
    monkeypatch.setattr(module, "REFRESH_S", 0.01)
    monkeypatch.setattr(netio, "counters", lambda: {"received": 0})
    yield made
    LOG.manager._clear_cache()  # type: ignore[attr-defined]
    made.close()


# -- the words --------------------------------------------------------------------------------------


class FakeNode:
    def __init__(self, connection: Connection, **peers: Connection) -> None:
        self.connection = connection
        self.peers = [Peer(0, name.encode(), connection) for name, connection in peers.items()]

    def __iter__(self) -> Iterator[Peer]:
        return iter(self.peers)


@pytest.mark.parametrize(
    ("node", "received", "words"),
    [
        (FakeNode(NONE), False, "asking the bootstrap nodes"),
        (FakeNode(NONE), True, "announcing this machine in the Tox network"),
        (FakeNode(DIRECT, alice=NONE, bob=NONE), True, "looking for alice, bob, carol"),
        (FakeNode(DIRECT, alice=DIRECT, bob=RELAY), True, "looking for carol"),
        (
            FakeNode(RELAY, alice=RELAY, bob=RELAY),
            False,
            "looking for carol over TCP relays (UDP does not get through)",
        ),
        (
            FakeNode(DIRECT, alice=DIRECT, bob=RELAY, carol=RELAY),
            True,
            "bob, carol: over a relay, looking for a direct path",
        ),
        (FakeNode(DIRECT, alice=DIRECT, bob=DIRECT, carol=DIRECT, dave=NONE), True, None),
    ],
)
def test_what_is_waited_for(node: Node, received: bool, words: str | None) -> None:
    wanted = {name.encode(): name for name in ("carol", "bob", "alice")}
    assert describe_wait(node, wanted, received) == words


def test_many_are_counted() -> None:
    assert join_names("edcba") == "a, b, c and 2 more"


# -- the terminal -----------------------------------------------------------------------------------


def test_only_a_terminal_with_the_usual_log_gets_it(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    def seen() -> bool:
        LOG.manager._clear_cache()  # type: ignore[attr-defined]
        return terminal() is screen.stream

    assert seen()
    for level in (logging.DEBUG, logging.ERROR):
        monkeypatch.setattr(LOG, "level", level)
        assert not seen()
    monkeypatch.setattr(LOG, "level", logging.INFO)
    monkeypatch.setenv("TERM", "dumb")
    assert not seen()
    monkeypatch.setenv("TERM", "xterm")
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        monkeypatch.setattr(LOG, "handlers", [logging.StreamHandler(nowhere)])
        assert not seen()
    monkeypatch.setattr(LOG, "handlers", [logging.NullHandler()])
    assert not seen()


async def test_the_line_follows_what_happens_and_goes(network: Network, screen: Screen) -> None:
    network.tox.set_online(False)
    node, other = network.node(), network.node()
    key = other.tox.public_key
    node.accept(key)
    with progress(node, lambda: {key: "bob"}):
        await until(lambda: screen.line == "asking the bootstrap nodes …")
        network.tox.set_online(True)
        await until(lambda: screen.line == "looking for bob …")
        other.accept(node.tox.public_key)
        await until(lambda: screen.line == "")
        network.tox.set_online(False)
        await until(lambda: screen.line == "asking the bootstrap nodes …")
    assert screen.line == ""
    assert len(LOG.handlers) == 1


async def test_the_log_is_written_above_it(network: Network, screen: Screen) -> None:
    network.tox.set_online(False)
    with progress(network.node(), dict):
        for word in ("one", "two"):
            await until(lambda: screen.line == "asking the bootstrap nodes …")
            LOG.info("%s", word)
            assert screen.lines[-2:] == [word, ""]
    assert screen.lines == ["one", "two", ""]


async def test_a_long_line_is_cut_and_a_long_wait_is_told(
    network: Network, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.0)
    node = network.node()
    name = "bob" * 30
    with progress(node, lambda: {ALICE: name}):
        await until(lambda: screen.line.startswith("looking"))
        assert screen.line == f"looking for {name}"[:59]
        name = "bob"
        await until(lambda: screen.line == "looking for bob … (0 s)")


async def test_a_terminal_that_goes_away_ends_nothing(network: Network, screen: Screen) -> None:
    network.tox.set_online(False)
    with progress(network.node(), dict):
        screen.stream.close()
        network.tox.set_online(True)
        for node in network.nodes:
            await until(lambda node=node: node.connection is DIRECT)  # type: ignore[misc]
