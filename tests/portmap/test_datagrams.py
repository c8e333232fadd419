"""PCP and NAT-PMP with a router on the loopback interface."""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from struct import pack
from typing import cast

import pytest

from toxvpn.portmap import datagrams
from toxvpn.portmap.datagrams import NatPmp, Pcp
from toxvpn.portmap.gateway import Gateway
from toxvpn.portmap.protocol import Asked, GrantedPort, NoAnswerError, NotMappedError
from toxvpn.wire.router import natpmp

PUBLIC = bytes([203, 0, 113, 5])
Answers = Callable[[bytes], list[bytes]]


class Router(asyncio.DatagramProtocol):
    """Answers each request as it is told."""

    def __init__(self) -> None:
        self.answers: Answers = lambda request: []
        self.requests: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.requests.append(data)
        for answer in self.answers(data):
            self.transport.sendto(answer, addr)


@pytest.fixture
async def router(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Router]:
    loop = asyncio.get_running_loop()
    transport, router = await loop.create_datagram_endpoint(Router, ("127.0.0.1", 0))
    monkeypatch.setattr(natpmp, "PORT", transport.get_extra_info("sockname")[1])
    monkeypatch.setattr(datagrams, "WAITS_S", (0.01, 0.01))
    yield router
    transport.close()


@pytest.fixture
def asked() -> Asked:
    return Asked(Gateway("127.0.0.1", "127.0.0.1"), 4000, Counter())


def pcp_answer(request: bytes, result: int = 0) -> bytes:
    head = pack("!BBBBII12x", 2, 0x81, 0, result, int.from_bytes(request[4:8], "big"), 9)
    return head + request[24:42] + pack("!H", 40001) + bytes(10) + b"\xff\xff" + PUBLIC


def pmp_answer(request: bytes) -> bytes:
    if request == natpmp.ADDRESS_REQUEST:
        return pack("!BBHI", 0, 128, 0, 9) + PUBLIC
    return pack("!BBHI", 0, 129, 0, 9) + request[4:6] + pack("!HI", 40001, 600)


async def test_pcp(router: Router, asked: Asked) -> None:
    router.answers = lambda request: [pcp_answer(request)]
    mapping = Pcp(asked)
    assert await mapping.ask(600) == GrantedPort("203.0.113.5", 40001, 600)
    await mapping.ask(600)
    await mapping.release()
    first, second, third = router.requests
    assert first[24:36] == second[24:36] == third[24:36], "the nonce says that it is the same mapping"
    assert (first[42:44], second[42:44]) == (pack("!H", 4000), pack("!H", 40001)), "the port that we have"
    assert third[4:8] == bytes(4)


async def test_nat_pmp(router: Router, asked: Asked) -> None:
    router.answers = lambda request: [pmp_answer(request)]
    mapping = NatPmp(asked)
    assert await mapping.ask(600) == GrantedPort("203.0.113.5", 40001, 600)
    await mapping.release()
    assert router.requests[-1] == pack("!BBHHHI", 0, 1, 0, 4000, 0, 0)


async def test_a_router_of_the_older_protocol(router: Router, asked: Asked) -> None:
    router.answers = lambda request: [pack("!BBHI", 0, 0x81, 1, 9)]
    with pytest.raises(NoAnswerError):
        await Pcp(asked).ask(600)
    assert len(router.requests) == 1


async def test_a_refusal(router: Router, asked: Asked) -> None:
    router.answers = lambda request: [pcp_answer(request, result=2)]
    with pytest.raises(NotMappedError, match="does not allow it"):
        await Pcp(asked).ask(600)


async def test_silence(router: Router, asked: Asked) -> None:
    with pytest.raises(NoAnswerError):
        await Pcp(asked).ask(600)
    assert len(router.requests) == len(datagrams.WAITS_S) and len(set(router.requests)) == 1


async def test_what_is_no_answer_is_dropped_and_counted(router: Router, asked: Asked) -> None:
    def answers(request: bytes) -> list[bytes]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("127.0.0.2", 0))
            other.sendto(pcp_answer(request), router.transport.sender)  # type: ignore[attr-defined]
        return [b"nonsense", pcp_answer(request[:24] + bytes(12) + request[36:]), pcp_answer(request)]

    received = router.datagram_received

    def note(data: bytes, addr: tuple[str, int]) -> None:
        router.transport.sender = addr  # type: ignore[attr-defined]
        received(data, addr)

    router.datagram_received = note  # type: ignore[method-assign]
    router.answers = answers
    assert (await Pcp(asked).ask(600)).port == 40001
    assert asked.drops == {"elsewhere": 1, "unreadable": 2}


async def test_a_flood_ends_the_reading(router: Router, asked: Asked) -> None:
    router.answers = lambda request: [b"nonsense"] * (datagrams.MOST_WRONG + 20)
    with pytest.raises(NoAnswerError):
        await Pcp(asked).ask(600)
    assert asked.drops["unreadable"] <= datagrams.MOST_WRONG
