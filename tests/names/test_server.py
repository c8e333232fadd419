"""The DNS server on real sockets of this machine."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator, Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import dns.asyncquery
import dns.message
import dns.rcode
import pytest

from toxvpn.names import server as server_module
from toxvpn.names.listen import Listening, explain, is_from_here, listen
from toxvpn.names.server import MAX_CONNECTIONS, DnsDrop, DnsServer
from toxvpn.names.zone import Address, Zone, ZoneMember

LOOPBACK = pytest.mark.parametrize("address", [IPv4Address("127.0.0.1"), IPv6Address("::1")])
MANY = tuple(IPv4Address(0x64400000 + number) for number in range(200))
HERE = IPv4Address("127.0.0.1")
ZONE = Zone.of(
    [ZoneMember(b"1", "box", "", (IPv4Address("100.64.1.2"),)), ZoneMember(b"2", "many", "", MANY)]
)
QUERY = dns.message.make_query("box.tox.internal", "A")


@contextlib.asynccontextmanager
async def serving(
    address: Address = HERE, is_from_here: Callable[[Any], bool] = is_from_here
) -> AsyncIterator[tuple[DnsServer, Listening]]:
    server, listening = DnsServer(lambda: ZONE, is_from_here), listen(address, 0)
    server.add(*listening.sockets)
    try:
        yield server, listening
    finally:
        server.close()
        await asyncio.sleep(0)


@LOOPBACK
async def test_queries_are_answered_by_udp_and_by_tcp(address: Address) -> None:
    async with serving(address) as (server, at):
        many = dns.message.make_query("many.tox.internal", "A")
        for query, records in ((QUERY, 1), (many, 200)):
            # by TCP where the answer by UDP is cut off
            response, by_tcp = await dns.asyncquery.udp_with_fallback(query, str(address), 5, at.port)
            assert len(response.answer[0]) == records
            assert by_tcp == (query is many)
        assert not server.drops


async def test_a_connection_may_ask_more_than_once() -> None:
    async with serving() as (_, at):
        reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
        wire = QUERY.to_wire()
        writer.write((len(wire).to_bytes(2, "big") + wire) * 2)
        for _ in range(2):
            reply = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
            assert dns.message.from_wire(reply).rcode() == dns.rcode.NOERROR
        writer.close()


async def test_other_machines_get_no_answer() -> None:
    asked: list[object] = []

    def nobody(source: object) -> bool:
        asked.append(source)
        return False

    async with serving(is_from_here=nobody) as (server, at):
        reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
        assert await reader.read() == b""
        writer.close()
        with socket.socket(type=socket.SOCK_DGRAM) as client:
            client.connect(("127.0.0.1", at.port))
            client.send(QUERY.to_wire())
            async with asyncio.timeout(5):
                while server.drops[DnsDrop.FOREIGN] < 2:
                    await asyncio.sleep(0)
            with pytest.raises(BlockingIOError):
                client.recv(1, socket.MSG_DONTWAIT)
    assert len(asked) == 2


async def test_malformed_queries_are_counted_and_told_so() -> None:
    async with serving() as (server, at):
        with socket.socket(type=socket.SOCK_DGRAM) as client:
            client.setblocking(False)
            client.connect(("127.0.0.1", at.port))
            client.send(b"?")
            client.send(b"\x12\x34" + b"\xff" * 30)  # a response: not answered
            client.send(b"\x12\x34\0\0\0\1" + bytes(6))
            async with asyncio.timeout(5):
                reply = await asyncio.get_running_loop().sock_recv(client, 100)
        assert dns.message.from_wire(reply).rcode() == dns.rcode.FORMERR
        assert server.drops == {DnsDrop.MALFORMED: 3}


async def test_a_malformed_message_ends_the_connection_without_an_answer() -> None:
    async with serving() as (server, at):
        reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
        writer.write(b"\0\1?")
        assert await reader.read() == b""
        writer.close()
        assert server.drops == {DnsDrop.MALFORMED: 1}


async def test_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as (server, at):
        several = [await asyncio.open_connection("127.0.0.1", at.port) for _ in range(MAX_CONNECTIONS + 1)]
        assert await several[-1][0].read() == b""
        assert server.drops == {DnsDrop.TOO_MANY: 1}
        for _, writer in several:
            writer.close()
    monkeypatch.setattr(server_module, "IDLE_S", 0.0)
    async with serving() as (_, at):
        reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
        assert await reader.read() == b""  # it has said nothing for too long
        writer.close()


async def test_a_removed_socket_is_closed() -> None:
    async with serving() as (server, at):
        server.remove(*at.sockets)
        assert all(each.fileno() == -1 for each in at.sockets)


@LOOPBACK
def test_a_port_that_is_taken_is_replaced_by_another(address: Address) -> None:
    first = listen(address, 0)
    second = listen(address, first.port)
    assert second.port != first.port and first.problem is None
    assert second.problem is not None and f"port {first.port} of {address} is taken" in second.problem
    for each in (first, second):
        each.close()


def test_an_address_of_another_machine_cannot_be_listened_on() -> None:
    with pytest.raises(OSError, match="assign"):
        listen(IPv4Address("192.0.2.1"), 0)


def test_a_missing_privilege_is_explained() -> None:
    where = IPv4Address("100.64.1.2")
    assert explain(PermissionError(errno.EACCES, ""), where, 53) is not None
    assert explain(OSError(errno.EADDRNOTAVAIL, ""), where, 53) is None


@pytest.mark.parametrize(
    ("address", "here"),
    [("127.0.0.1", True), ("::1", True), ("192.0.2.1", False), ("2001:db8::1", False)],
)
def test_who_is_this_machine(address: str, here: bool) -> None:
    source = (address, 5353) if ip_address(address).version == 4 else (address, 5353, 0, 0)
    assert is_from_here(source) is here
