"""Built-in targets: a peer asks for one as for any target, by its name and version."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import NoReturn

import pytest

from toxvpn.tcpforward.budget import DESCRIPTORS
from toxvpn.tcpforward.builtin import Builtin, Builtins, Passage, as_socket, open_builtin
from toxvpn.tcpforward.road import Ending, StreamOpenError
from toxvpn.tcpforward.rules import Rules
from toxvpn.tcpforward.server import ForwardServer
from toxvpn.tcpforward.target import TargetRefusedError
from toxvpn.testing.fake_nodes import until
from toxvpn.testing.forward_pair import ForwardPair, in_time
from toxvpn.tox.peer import Peer
from toxvpn.wire.socks5 import ReplyCode


class Shouter:
    """Answers in capitals, and says how it ended."""

    def __init__(self, *, may: bool = True) -> None:
        self.ended = ""
        self.builtin = Builtin(1, lambda _: may, "nobody may", self.carry)

    async def carry(self, _: Peer, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            while data := await loop.sock_recv(sock, 100):
                await loop.sock_sendall(sock, data.upper())
        except asyncio.CancelledError:
            self.ended = "reset"
            raise
        self.ended = "clean"


@pytest.fixture
async def builtins(no_descriptor_is_left: None) -> AsyncIterator[Builtins]:
    made = Builtins()
    yield made
    await made.close()


@pytest.fixture
async def pair(builtins: Builtins) -> AsyncIterator[ForwardPair]:
    """Its server allows nothing but built-in targets."""
    async with ForwardPair(serve=ForwardServer(lambda _: Rules(()), builtins).serve) as made:
        yield made


async def test_bytes_go_both_ways_to_an_orderly_end(pair: ForwardPair, builtins: Builtins) -> None:
    shouter = Shouter()
    builtins.offer("@shout", shouter.builtin)
    sock, ending = as_socket(await in_time(open_builtin(pair.caller, "@shout", 1)))
    with sock:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(sock, b"hello")
        assert await in_time(loop.sock_recv(sock, 100)) == b"HELLO"
        sock.shutdown(socket.SHUT_WR)
        assert await in_time(loop.sock_recv(sock, 100)) == b""
        assert await in_time(ending) is Ending.CLEAN
    assert shouter.ended == "clean"


async def test_what_serves_is_counted_among_the_descriptors(
    pair: ForwardPair, builtins: Builtins, monkeypatch: pytest.MonkeyPatch
) -> None:
    builtins.offer("@shout", Shouter().builtin)
    before = DESCRIPTORS.taken
    sock, ending = as_socket(await in_time(open_builtin(pair.caller, "@shout", 1)))
    with sock:
        assert DESCRIPTORS.taken == before + 2  # one at each end of a pair
        ending.cancel()
        await until(lambda: DESCRIPTORS.taken == before)
    monkeypatch.setattr(type(DESCRIPTORS), "share", DESCRIPTORS.taken + 1)
    with pytest.raises(StreamOpenError):
        await in_time(open_builtin(pair.caller, "@shout", 1))


async def test_a_reset_cancels_what_serves(pair: ForwardPair, builtins: Builtins) -> None:
    shouter = Shouter()
    builtins.offer("@shout", shouter.builtin)
    sock, ending = as_socket(await in_time(open_builtin(pair.caller, "@shout", 1)))
    with sock:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(sock, b"hello")
        assert await in_time(loop.sock_recv(sock, 100)) == b"HELLO"
        ending.cancel()
        await until(lambda: shouter.ended == "reset")


async def test_a_stream_that_is_given_up_before_it_runs_is_reset(
    pair: ForwardPair, builtins: Builtins
) -> None:
    shouter = Shouter()
    builtins.offer("@shout", shouter.builtin)
    sock, ending = as_socket(await in_time(open_builtin(pair.caller, "@shout", 1)))
    ending.cancel()
    with sock:
        await until(lambda: shouter.ended == "reset")


async def test_who_may_not_use_it_is_refused(pair: ForwardPair, builtins: Builtins) -> None:
    builtins.offer("@shout", Shouter(may=False).builtin)
    with pytest.raises(StreamOpenError) as refused:
        await in_time(open_builtin(pair.caller, "@shout", 1))
    assert refused.value.code is ReplyCode.NOT_ALLOWED


@pytest.mark.parametrize(("name", "version"), [("@whisper", 1), ("@shout", 2), ("@", 1)])
async def test_what_is_not_there_says_so(
    pair: ForwardPair, builtins: Builtins, name: str, version: int
) -> None:
    builtins.offer("@shout", Shouter().builtin)
    with pytest.raises(StreamOpenError, match="does not have this"):
        await in_time(open_builtin(pair.caller, name, version))


async def test_after_it_is_withdrawn_it_is_gone(pair: ForwardPair, builtins: Builtins) -> None:
    withdraw = builtins.offer("@shout", Shouter().builtin)
    withdraw()
    with pytest.raises(StreamOpenError, match="does not have this"):
        await in_time(open_builtin(pair.caller, "@shout", 1))


async def test_an_error_of_the_service_ends_its_stream_alone(
    pair: ForwardPair, builtins: Builtins, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_: Peer, __: socket.socket) -> None:
        raise ZeroDivisionError

    builtins.offer("@fail", Builtin(1, lambda _: True, "", fail))
    sock, ending = as_socket(await in_time(open_builtin(pair.caller, "@fail", 1)))
    with sock:
        assert await in_time(asyncio.get_running_loop().sock_recv(sock, 1)) == b""
    await in_time(ending)
    assert "ZeroDivisionError" in caplog.text


async def test_a_passage_leads_one_peer_to_one_end() -> None:
    """`serves` lets it ask for datagrams, too; where they may go, the passage says."""

    async def refuse() -> NoReturn:
        raise TargetRefusedError(ReplyCode.CONNECTION_REFUSED, "nobody listens there")

    builtins = Builtins()
    server = ForwardServer(lambda _: Rules(()), builtins)
    peer, other = Peer(0, bytes(32)), Peer(1, bytes([1]) * 32)
    assert not server.serves(peer.public_key)
    builtins.offer("@way", Passage(1, lambda key: key == peer.public_key, "for another", refuse, refuse))
    assert server.serves(peer.public_key) and not server.serves(other.public_key)
    for reach in (server.serve, server.datagram_addresses):
        with pytest.raises(TargetRefusedError, match="nobody listens there"):
            await reach(peer, "@way", 1)
        for who, name, version in ((other, "@way", 1), (peer, "@way", 2), (peer, "@wa", 1)):
            with pytest.raises(TargetRefusedError, match=r"for another|not offered|wants version"):
                await reach(who, name, version)
