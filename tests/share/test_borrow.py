"""A command borrows a stream to a built-in target of the peer from a run that is connected to it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from toxvpn.config.options import ClientOptions
from toxvpn.errors import PeerRefusedError, ToxvpnError
from toxvpn.members.roster import Roster
from toxvpn.share.borrow import BorrowedStream, borrow_stream
from toxvpn.share.lend import Lendable, Lender, lending
from toxvpn.share.rendezvous import NotSharedError
from toxvpn.tcpforward.builtin import Builtin, Builtins
from toxvpn.tcpforward.roads import Roads
from toxvpn.tcpforward.rules import Rules
from toxvpn.tcpforward.server import ForwardServer
from toxvpn.testing.forward_pair import ForwardPair, in_time
from toxvpn.testing.shared_node import ID
from toxvpn.tox.node import Node
from toxvpn.tox.peer import Peer


@pytest.fixture
async def builtins() -> AsyncIterator[Builtins]:
    """Of the peer."""
    made = Builtins()
    yield made
    await made.close()


@pytest.fixture
async def pair(builtins: Builtins) -> AsyncIterator[ForwardPair]:
    async with ForwardPair(serve=ForwardServer(lambda _: Rules(()), builtins).serve) as made:
        yield made


@pytest.fixture
async def lender(pair: ForwardPair, options: ClientOptions) -> AsyncIterator[Lender]:
    """A run that calls the peer."""
    roads = SimpleNamespace(start=lambda: None, chooser=SimpleNamespace(choice=lambda peer: ("tuntox", "so")))
    lent = Lendable(
        cast(Node, SimpleNamespace(peer={ID.public_key: pair.peer}.get)),
        cast(Roster, SimpleNamespace(called=[ID])),
        cast(Roads, roads),
        Builtins(),
        lambda key: pair.caller,
        asyncio.Event(),
        None,
        lambda key: None,
    )
    assert options.directory is not None
    async with lending(lent, options.directory) as made:
        yield made


async def borrow(options: ClientOptions) -> BorrowedStream:
    return await in_time(asyncio.to_thread(borrow_stream, options, "@shout", 1, run_only=True))


async def shout(_: Peer, sock: socket.socket) -> None:
    """Answers in capitals; ends the stream at an exclamation mark."""
    loop = asyncio.get_running_loop()
    while (data := await loop.sock_recv(sock, 100)) and data != b"!":
        await loop.sock_sendall(sock, data.upper())


def offer(builtins: Builtins, *, may: bool = True) -> None:
    builtins.offer("@shout", Builtin(1, lambda _: may, "nobody may", shout))


async def test_bytes_go_both_ways(builtins: Builtins, lender: Lender, options: ClientOptions) -> None:
    offer(builtins)
    with await borrow(options) as stream:
        stream.socket.sendall(b"hello")
        assert await in_time(asyncio.to_thread(stream.socket.recv, 100)) == b"HELLO"


async def test_the_secret_of_the_configuration_is_the_runs(
    builtins: Builtins, lender: Lender, options: ClientOptions
) -> None:
    offer(builtins)
    with await borrow(replace(options, secret=b"of config.toml")) as stream:
        stream.socket.sendall(b"hello")
        assert await in_time(asyncio.to_thread(stream.socket.recv, 100)) == b"HELLO"
    with pytest.raises(NotSharedError):
        await borrow(replace(options, secret=b"typed", typed_secret=True))


async def test_the_node_says_how_it_ended(builtins: Builtins, lender: Lender, options: ClientOptions) -> None:
    offer(builtins)
    with await borrow(options) as stream:
        stream.socket.sendall(b"hello")
        assert await in_time(asyncio.to_thread(stream.socket.recv, 100)) == b"HELLO"
        await lender.close()
        assert await in_time(asyncio.to_thread(stream.socket.recv, 100)) == b""
        assert await in_time(asyncio.to_thread(stream.why_it_broke)) == "the shared node was stopped"


async def test_a_refusal_is_told(builtins: Builtins, lender: Lender, options: ClientOptions) -> None:
    offer(builtins, may=False)
    with pytest.raises(PeerRefusedError):
        await borrow(options)


async def test_a_peer_that_does_not_have_it(lender: Lender, options: ClientOptions) -> None:
    with pytest.raises(ToxvpnError, match="does not have this"):
        await borrow(options)


async def test_without_a_run(pair: ForwardPair, options: ClientOptions) -> None:
    with pytest.raises(NotSharedError, match="not connected"):
        await borrow(options)
