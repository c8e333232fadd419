"""`-D` over a Tox network in memory, with the bytes of RFC 1928 written by hand."""

import asyncio
import struct
from collections.abc import AsyncIterator

import pytest

from toxvpn.tcpforward import caller, socks
from toxvpn.tcpforward.rules import Rules
from toxvpn.testing.fake_nodes import until
from toxvpn.testing.forward_pair import ForwardPair, Program, TargetProgram

GREETING = b"\x05\x01\x00"
NO_AUTHENTICATION = b"\x05\x00"
SUCCEEDED = b"\x05\x00\x00\x01\0\0\0\0\0\0"
IPV4_LOCALHOST = b"\x01\x7f\0\0\x01"
IPV6_LOCALHOST = b"\x04" + bytes(15) + b"\x01"
NAME_LOCALHOST = b"\x03\x09localhost"


def connect(address: bytes, port: int, command: int = 1) -> bytes:
    return b"\x05" + bytes([command]) + b"\0" + address + struct.pack(">H", port)


def refusal(code: int) -> bytes:
    return b"\x05" + bytes([code]) + b"\0\x01\0\0\0\0\0\0"


@pytest.fixture
async def pair(no_descriptor_is_left: None) -> AsyncIterator[ForwardPair]:
    async with ForwardPair() as made:
        yield made


@pytest.fixture
async def application(pair: ForwardPair) -> Program:
    return await pair.connect(pair.socks())


async def greeted(application: Program) -> Program:
    await application.send(GREETING)
    assert await application.receive(2) == NO_AUTHENTICATION
    return application


@pytest.mark.parametrize(
    ("host", "address"),
    [("127.0.0.1", IPV4_LOCALHOST), ("::1", IPV6_LOCALHOST), ("127.0.0.1", NAME_LOCALHOST)],
)
async def test_connect(pair: ForwardPair, application: Program, host: str, address: bytes) -> None:
    target = pair.keep(TargetProgram(host))
    await greeted(application)
    await application.send(connect(address, target.port))
    accepted = pair.keep(await target.accept())
    assert await application.receive(10) == SUCCEEDED
    await application.send(b"question")
    assert await accepted.receive(8) == b"question"
    await accepted.send(b"answer")
    assert await application.receive(6) == b"answer"
    application.end()
    assert await accepted.receive_all() == b""
    accepted.close()
    assert await application.receive_all() == b""


async def test_everything_in_one_flight(pair: ForwardPair, application: Program) -> None:
    await application.send(GREETING + connect(IPV4_LOCALHOST, pair.target.port) + b"early data")
    target = await pair.accept()
    assert await target.receive(10) == b"early data"
    assert await application.receive(12) == NO_AUTHENTICATION + SUCCEEDED


async def test_a_byte_at_a_time(pair: ForwardPair, application: Program) -> None:
    for byte in GREETING + connect(NAME_LOCALHOST, pair.target.port):
        await application.send(bytes([byte]))
        await asyncio.sleep(0)
    await pair.accept()
    assert await application.receive(12) == NO_AUTHENTICATION + SUCCEEDED


async def test_a_refused_connection(pair: ForwardPair, application: Program) -> None:
    pair.target.close()
    await greeted(application)
    await application.send(connect(IPV4_LOCALHOST, pair.target.port))
    assert await application.receive_all() == refusal(5)


async def test_a_target_that_no_rule_allows(no_descriptor_is_left: None) -> None:
    async with ForwardPair(Rules(())) as pair:
        application = await greeted(await pair.connect(pair.socks()))
        await application.send(connect(NAME_LOCALHOST, 80))
        assert await application.receive_all() == refusal(2)


async def test_a_peer_that_does_not_come(
    pair: ForwardPair, application: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caller, "WAIT_FOR_PEER_S", 0.01)
    pair.network.tox.set_online(False)
    await until(lambda: not pair.peer.online)
    await greeted(application)
    await application.send(connect(IPV4_LOCALHOST, pair.target.port))
    assert await application.receive_all() == refusal(4)


@pytest.mark.parametrize("command", [2, 3])
async def test_what_is_no_connect(application: Program, command: int) -> None:
    await greeted(application)
    await application.send(connect(IPV4_LOCALHOST, 80, command))
    assert await application.receive_all() == refusal(7)


async def test_a_client_that_insists_on_a_password(application: Program) -> None:
    await application.send(b"\x05\x01\x02")
    assert await application.receive_all() == b"\x05\xff"


async def test_garbage(application: Program, caplog: pytest.LogCaptureFixture) -> None:
    await application.send(b"GET / HTTP/1.1\r\n\r\n")
    assert await application.receive_all() == b""
    assert "SOCKS5 client: not SOCKS5" in caplog.text


@pytest.mark.parametrize("said", [b"", b"\x05", GREETING, GREETING + connect(NAME_LOCALHOST, 80)[:-1]])
async def test_a_client_that_goes_away(application: Program, said: bytes) -> None:
    await application.send(said)
    application.end()
    await application.receive_all()


async def test_a_client_that_says_nothing_has_to_go(
    pair: ForwardPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socks, "HANDSHAKE_S", 0.01)
    application = await pair.connect(pair.socks())
    assert await application.receive_all() == b""


async def test_a_client_that_goes_away_before_the_answer(pair: ForwardPair, application: Program) -> None:
    await greeted(application)
    await application.send(connect(IPV4_LOCALHOST, pair.target.port))
    application.reset()
    assert await (await pair.accept()).is_reset()
