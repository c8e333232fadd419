"""UPnP with a router on the loopback interface, also one that lies."""

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import AsyncIterator
from typing import cast

import pytest

from toxvpn.portmap import upnp
from toxvpn.portmap.gateway import Gateway
from toxvpn.portmap.protocol import Asked, GrantedPort, NoAnswerError, NotMappedError
from toxvpn.portmap.upnp import Upnp, body_untrusted
from toxvpn.wire.router import igd

HOST = "127.0.0.1"


class Router(asyncio.DatagramProtocol):
    """Its answers are attributes, for a test to change. `requests`: the first lines, and the actions."""

    def __init__(self) -> None:
        self.location = ""
        self.control = "/ctl"
        self.faults: list[int] = []
        self.answer_from: socket.socket | None = None
        self.requests: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = f"HTTP/1.1 200 OK\r\nLOCATION: {self.location}\r\n\r\n".encode()
        (self.answer_from or self.transport).sendto(answer, addr)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.requests.append(head.split("#")[1].split('"')[0] if "#" in head else head.split(" HTTP")[0])
        body = self.body(self.requests[-1]).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        writer.close()

    def body(self, request: str) -> str:
        if request == "GET /desc.xml":
            return (
                f"<root><service><serviceType>{igd.SERVICES[0]}</serviceType>"
                f"<controlURL>{self.control}</controlURL></service></root>"
            )
        if request == "GetExternalIPAddress":
            return "<a><NewExternalIPAddress>203.0.113.5</NewExternalIPAddress></a>"
        if request == "AddPortMapping" and self.faults:
            return f"<a><Fault><errorCode>{self.faults.pop(0)}</errorCode></Fault></a>"
        return "<a/>"


@pytest.fixture
async def router(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Router]:
    loop = asyncio.get_running_loop()
    transport, router = await loop.create_datagram_endpoint(Router, (HOST, 0))
    monkeypatch.setattr(igd, "SEARCH_PORT", transport.get_extra_info("sockname")[1])
    monkeypatch.setattr(upnp, "SEARCH_S", 0.05)
    monkeypatch.setattr(upnp, "ANSWER_S", 1.0)
    server = await asyncio.start_server(router.serve, HOST, 0)
    router.location = f"http://{HOST}:{server.sockets[0].getsockname()[1]}/desc.xml"
    yield router
    server.close()
    transport.close()


@pytest.fixture
def asked() -> Asked:
    return Asked(Gateway(HOST, HOST), 4000, Counter())


async def test_a_mapping_is_made_renewed_and_taken_back(router: Router, asked: Asked) -> None:
    mapping = Upnp(asked)
    assert await mapping.ask(600) == GrantedPort("203.0.113.5", 4000, 600)
    await mapping.ask(600)
    await mapping.release()
    once = ["GetExternalIPAddress", "AddPortMapping"]
    assert router.requests == ["GET /desc.xml", *once, *once, "DeletePortMapping"]


async def test_a_port_of_another_machine_is_left_to_it(router: Router, asked: Asked) -> None:
    router.faults = [igd.CONFLICT]
    granted = await Upnp(asked).ask(600)
    assert granted.port != 4000 and granted.port >= 1024


@pytest.mark.parametrize(
    ("faults", "reason"),
    [([igd.CONFLICT] * 3, "belong to others"), ([igd.ONLY_FOR_EVER], "for ever"), ([606], "code 606")],
)
async def test_refusals(router: Router, asked: Asked, faults: list[int], reason: str) -> None:
    router.faults = faults
    with pytest.raises(NotMappedError, match=reason):
        await Upnp(asked).ask(600)


async def test_nothing_is_sent_elsewhere(router: Router, asked: Asked) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pytest.fail("another host was asked")

    victim = await asyncio.start_server(refuse, "127.0.0.2", 0)
    place = f"127.0.0.2:{victim.sockets[0].getsockname()[1]}"
    router.control = f"http://{place}/ctl"
    with pytest.raises(NoAnswerError):
        await Upnp(asked).ask(600)
    router.location = f"http://{place}/desc.xml"
    with pytest.raises(NoAnswerError):
        await Upnp(asked).ask(600)
    assert asked.drops["unreadable"] >= 1
    victim.close()


async def test_an_answer_without_end(router: Router, asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        with contextlib.suppress(OSError):
            while True:
                writer.write(b" " * igd.MOST_BYTES)
                await writer.drain()
                sent += igd.MOST_BYTES

    server = await asyncio.start_server(serve, HOST, 0)
    router.location = f"http://{HOST}:{server.sockets[0].getsockname()[1]}/desc.xml"
    with pytest.raises(NoAnswerError):
        await Upnp(asked).ask(600)
    assert asked.drops == {"too-large": 1}
    assert sent < 16 << 20, "what the buffers of two sockets hold, and no more"
    server.close()


async def test_an_answer_from_elsewhere_counts_for_nothing(router: Router, asked: Asked) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.2", 0))
        router.answer_from = other
        with pytest.raises(NoAnswerError):
            await Upnp(asked).ask(600)
    assert asked.drops["elsewhere"] >= 1 and router.requests == []


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok"),
        (b"HTTP/1.1 500 No\r\n\r\nfault", b"fault"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", b"ok"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", None),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nok", None),
        (b"nonsense", None),
        (b"", None),
        (b"HTTP/1.1 99999999 OK\r\n\r\n", None),
    ],
)
def test_bodies(answer: bytes, body: bytes | None) -> None:
    assert body_untrusted(answer) == body
