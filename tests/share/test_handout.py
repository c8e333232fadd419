"""A command receives the streams that peers open to @files; the roster of peers is made up."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from toxvpn.control import socketfile
from toxvpn.errors import PeerRefusedError, ToxvpnError
from toxvpn.members.friends import Grant
from toxvpn.members.members import Member
from toxvpn.members.peers import ConfiguredPeer
from toxvpn.members.roster import Roster
from toxvpn.share.handout import (
    FILES_SOCKET_NAME,
    connect_as_receiver,
    handing_out,
    next_stream,
)
from toxvpn.tcpforward.builtin import Builtins
from toxvpn.tcpforward.roads import Roads
from toxvpn.tcpforward.target import TargetRefusedError
from toxvpn.testing.forward_pair import in_time
from toxvpn.tox.peer import Peer
from toxvpn.wire import filetransfer
from toxvpn.wire.socks5 import ReplyCode

KEYS = {Grant.PEER: b"p" * 32, Grant.SECRET: b"s" * 32, Grant.OPEN: b"o" * 32}
STRANGER = b"x" * 32


class Run:
    """What a run has, as far as handing out streams goes."""

    def __init__(self) -> None:
        self.builtins = Builtins()
        self.stacks = 0
        box = ConfiguredPeer(KEYS[Grant.PEER], name="box")
        members = [Member(key, box if grant is Grant.PEER else None, grant) for grant, key in KEYS.items()]
        grants = {key: grant for grant, key in KEYS.items()}
        self.roster = cast(
            Roster,
            SimpleNamespace(grant=grants.get, peers=lambda: {box.public_key: box}, members=members),
        )
        self.roads = cast(Roads, SimpleNamespace(start=self._start))

    def _start(self) -> None:
        self.stacks += 1

    async def ask(self, public_key: bytes) -> Any:
        """As a road does for a peer; raises TargetRefusedError."""
        peer = cast(Peer, SimpleNamespace(public_key=public_key, short=public_key.hex()[:8]))
        return await self.builtins.connect(peer, filetransfer.NAME, filetransfer.VERSION)


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[Run]:
    made = Run()
    async with handing_out(made.builtins, made.roster, made.roads, tmp_path):
        yield made
    await made.builtins.close()


@pytest.fixture
async def receiver(run: Run, tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """Connects as a command that receives, from all or from some."""
    connections: list[socket.socket] = []

    async def connect(*senders: str) -> socket.socket:
        found = await in_time(asyncio.to_thread(connect_as_receiver, tmp_path, senders))
        assert found is not None
        connections.append(found)
        return found

    yield connect
    for each in connections:
        each.close()


async def test_a_stream_goes_to_the_command(run: Run, receiver: Callable[..., Any]) -> None:
    connection = await receiver()
    assert run.stacks == 1, "a stack is needed for the fast road"
    end = await run.ask(KEYS[Grant.PEER])
    stream = await in_time(asyncio.to_thread(next_stream, connection))
    assert stream is not None
    sock, public_key, name = stream
    assert (public_key, name) == (KEYS[Grant.PEER], "box")
    with sock:
        sock.setblocking(True)
        os.write(end.write_fd, b"hello")
        assert await in_time(asyncio.to_thread(sock.recv, 5)) == b"hello"
        sock.sendall(b"and back")
        assert os.read(end.read_fd, 8) == b"and back"
        end.close(clean=False)
        assert await in_time(asyncio.to_thread(sock.recv, 5)) == b""


@pytest.mark.parametrize("public_key", [KEYS[Grant.OPEN], STRANGER])
async def test_who_is_not_known_here_is_refused(
    run: Run, receiver: Callable[..., Any], public_key: bytes
) -> None:
    await receiver()
    with pytest.raises(TargetRefusedError) as caught:
        await run.ask(public_key)
    assert caught.value.code is ReplyCode.NOT_ALLOWED


async def test_without_a_command_all_are_refused(run: Run) -> None:
    with pytest.raises(TargetRefusedError, match="receive") as caught:
        await run.ask(KEYS[Grant.PEER])
    assert caught.value.code is ReplyCode.NOT_ALLOWED


async def test_only_those_that_the_command_names(run: Run, receiver: Callable[..., Any]) -> None:
    await receiver("box")
    (await run.ask(KEYS[Grant.PEER])).close(clean=False)
    with pytest.raises(TargetRefusedError):
        await run.ask(KEYS[Grant.SECRET])


async def test_a_name_that_nobody_has(run: Run, tmp_path: Path) -> None:
    with pytest.raises(PeerRefusedError, match="nobody"):
        await in_time(asyncio.to_thread(connect_as_receiver, tmp_path, ["nobody"]))


async def test_the_second_command_is_told_of_the_first(
    run: Run, receiver: Callable[..., Any], tmp_path: Path
) -> None:
    await receiver()
    with pytest.raises(ToxvpnError, match="another `toxvpn receive`"):
        await in_time(asyncio.to_thread(connect_as_receiver, tmp_path, ()))


async def test_when_the_command_ends_peers_are_refused_again(run: Run, receiver: Callable[..., Any]) -> None:
    connection = await receiver()
    connection.close()
    async with asyncio.timeout(5):
        while True:
            try:
                (await run.ask(KEYS[Grant.PEER])).close(clean=False)
            except TargetRefusedError:
                break
            await asyncio.sleep(0)
    await receiver()  # and another one may receive


async def test_when_the_run_ends_the_command_notices(tmp_path: Path) -> None:
    run = Run()
    async with handing_out(run.builtins, run.roster, run.roads, tmp_path):
        connection = await in_time(asyncio.to_thread(connect_as_receiver, tmp_path, ()))
        assert connection is not None
    with connection:
        assert await in_time(asyncio.to_thread(next_stream, connection)) is None
    assert not (tmp_path / FILES_SOCKET_NAME).exists()
    assert connect_as_receiver(tmp_path, ()) is None


async def test_another_user_does_not_receive(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socketfile, "credentials", lambda _: socketfile.Credentials(1, os.geteuid() + 1))
    with socketfile.connect_to(tmp_path / FILES_SOCKET_NAME, 5, socket.SOCK_SEQPACKET) as connection:
        connection.send(b'{"from":null}')
        with contextlib.suppress(ConnectionResetError):
            assert await in_time(asyncio.to_thread(connection.recv, 100)) == b""
    with pytest.raises(TargetRefusedError):
        await run.ask(KEYS[Grant.PEER])
