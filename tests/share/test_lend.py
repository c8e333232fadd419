"""A run lends its connections to commands that call a peer of it; the commands are real processes."""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from unittest.mock import AsyncMock

import pytest

from toxvpn.config.options import ClientOptions
from toxvpn.control import socketfile
from toxvpn.members.roster import Roster
from toxvpn.share import command as command_module
from toxvpn.share import messages
from toxvpn.share.lend import Lendable, Lender, lending
from toxvpn.share.messages import BadMessageError
from toxvpn.share.rendezvous import RUN_SOCKET_NAME, connect_to_run
from toxvpn.tcpforward.builtin import Builtins
from toxvpn.tcpforward.roads import Roads
from toxvpn.tcpforward.spec import RoadPolicy
from toxvpn.testing.fake_nodes import until
from toxvpn.testing.forward_pair import ForwardPair, Program
from toxvpn.testing.shared_node import ID, Commands, free_port
from toxvpn.tox.node import Node
from toxvpn.tox.peer import Peer
from toxvpn.tox.proxy import Proxy

TOR = Proxy("socks5", "localhost", 9050)
OTHER = Proxy("socks5", "localhost", 9051)


class Run:
    """What a run with peers has, as far as lending goes; `ID` is the one peer it knows."""

    def __init__(self, pair: ForwardPair) -> None:
        self.asked_for_a_stack = 0
        self.caller = pair.caller
        self.knows = {ID.public_key: pair.peer}
        self.called = [ID]
        self.roads = SimpleNamespace(
            start=self._start, chooser=SimpleNamespace(choice=lambda peer: ("tuntox", "so"))
        )
        self.stopping = asyncio.Event()

    def lent(self, proxy: Proxy | None = None) -> Lendable:
        return Lendable(
            cast(Node, SimpleNamespace(peer=self.knows.get)),
            cast(Roster, SimpleNamespace(called=self.called)),
            cast(Roads, self.roads),
            Builtins(),
            lambda key: self.caller,
            self.stopping,
            proxy,
            lambda _: None,
        )

    def _start(self) -> None:
        self.asked_for_a_stack += 1


@pytest.fixture
def run(pair: ForwardPair) -> Run:
    return Run(pair)


@pytest.fixture
async def lender(run: Run, options: ClientOptions) -> AsyncIterator[Lender]:
    assert options.directory is not None
    async with lending(run.lent(), options.directory) as made:
        yield made


async def test_stdin_and_stdout(pair: ForwardPair, run: Run, lender: Lender, commands: Commands) -> None:
    command = await commands.start("-P", str(pair.target.target))
    target = await pair.accept()
    await command.write(b"there")
    assert await target.receive(5) == b"there"
    await target.send(b"back")
    assert await command.read(4) == b"back"
    target.end()
    command.end_stdin()
    assert await command.code() == 0
    assert run.asked_for_a_stack == 1


async def test_a_forward_until_the_run_ends(
    pair: ForwardPair,
    run: Run,
    options: ClientOptions,
    commands: Commands,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "toxvpn")
    assert options.directory is not None
    port = free_port()
    async with lending(run.lent(), options.directory) as lender:
        command = await commands.start("-L", f"{port}:{pair.target.target}")
        await command.line("listening: ")
        application = pair.keep(await Program.connect(port))
        target = await pair.accept()
        await application.send(b"x")
        assert await target.receive(1) == b"x"
        assert [state.streams for state in lender.states()] == [1]
        run.stopping.set()
    assert await command.code() == 0
    assert not (options.directory / RUN_SOCKET_NAME).exists()


async def test_a_peer_it_does_not_know_is_called_another_way(
    run: Run, lender: Lender, options: ClientOptions
) -> None:
    run.knows.clear()
    assert options.directory is not None
    connection = connect_to_run(options.directory)
    assert connection is not None
    with connection:
        request = {"do": "ping", "level": 20, "peer": ID.public_key.hex()}
        outcome = await asyncio.to_thread(command_module._hand_over, connection, options, request, [])
    assert outcome == command_module.Outcome(taken=False)


async def test_a_peer_that_is_away_and_is_not_asked_is_called_another_way(
    pair: ForwardPair, run: Run, lender: Lender
) -> None:
    request = {"do": "ping", "level": 20, "peer": ID.public_key.hex()}
    run.called.clear()
    assert lender._find_streams(request).caller is pair.caller
    run.knows[ID.public_key] = Peer(1, ID.public_key)
    with pytest.raises(BadMessageError):
        lender._find_streams(request)
    run.called.append(ID)
    assert lender._find_streams(request).caller is pair.caller


@pytest.mark.parametrize(
    ("wanted", "ours", "goes"),
    [(None, None, True), (None, TOR, True), (TOR, TOR, True), (TOR, None, False), (TOR, OTHER, False)],
)
async def test_a_command_that_wants_a_proxy_does_not_go_around_it(
    run: Run, options: ClientOptions, wanted: Proxy | None, ours: Proxy | None, goes: bool
) -> None:
    assert options.directory is not None
    run.roads.tuntox = SimpleNamespace(ping=AsyncMock(return_value=0.001))
    async with lending(run.lent(ours), options.directory):
        asked = replace(options, proxy=wanted, ping=True)
        with contextlib.ExitStack() as undo:
            request, _ = command_module._request(asked, undo)
            outcome = await asyncio.to_thread(command_module._ask_the_run, asked, request, [])
    assert (outcome.code == 0) is goes


@pytest.mark.parametrize("request_", [b"", b"{}", b'{"peer": 7}', b'{"peer": "xy"}', b"[]", b"\xff"])
async def test_nonsense_is_hung_up_on(lender: Lender, options: ClientOptions, request_: bytes) -> None:
    connection = connect_to_run(options.directory)
    assert connection is not None
    connection.setblocking(False)
    with connection:
        with contextlib.suppress(BrokenPipeError):
            connection.send(request_)
        await until(lambda: not lender._sessions)


@pytest.mark.parametrize(
    ("we_are", "handed", "lent"),
    [("root", "pipe", True), ("root", "terminal", False), ("another user", "pipe", False)],
)
async def test_root_uses_the_services_run_and_hands_it_no_terminal(
    lender: Lender,
    options: ClientOptions,
    monkeypatch: pytest.MonkeyPatch,
    we_are: str,
    handed: str,
    lent: bool,
) -> None:
    monkeypatch.setattr(socketfile, "credentials", lambda _: socketfile.Credentials(1, 61184))
    monkeypatch.setattr(os, "geteuid", lambda: 0 if we_are == "root" else 1000)
    ends = os.openpty() if handed == "terminal" else os.pipe()
    connection = connect_to_run(options.directory, ends)
    assert (connection is not None) is lent
    if connection is not None:
        connection.close()
    for end in ends:
        os.close(end)


async def test_root_is_served(run: Run, lender: Lender, monkeypatch: pytest.MonkeyPatch) -> None:
    """As uid 0 and as our own; a stranger is not, which test_command.py has."""
    for uid in (0, os.geteuid()):
        monkeypatch.setattr(socketfile, "credentials", lambda _, uid=uid: socketfile.Credentials(1, uid))
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            theirs.setblocking(False)
            run.roads.tuntox = SimpleNamespace(ping=AsyncMock(return_value=0.001))
            messages.send(ours, {"do": "ping", "level": 60, "peer": ID.public_key.hex()})
            await lender._serve(theirs)
            assert messages.receive(ours)[0] is not None


def test_where_nobody_runs(tmp_path: Path) -> None:
    assert connect_to_run(tmp_path) is None


async def test_whoever_gives_a_secret_or_a_road_means_a_node_of_that_kind(
    lender: Lender, options: ClientOptions
) -> None:
    for other in (replace(options, typed_secret=True), replace(options, road=RoadPolicy.TUNTOX)):
        outcome = command_module._ask_the_run(other, {"do": "ping", "level": 20}, [])
        assert outcome == command_module.Outcome(taken=False)
    assert not lender._sessions
