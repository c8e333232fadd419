"""A node of a program: who may open streams to it, what it keeps, local ports, events, and its end."""

import asyncio
import contextlib
from functools import partial
from pathlib import Path

import pytest

import toxvpn
from toxvpn.state.identity import Identity, IdentityInUseError
from toxvpn.testing.fake_nodes import until
from toxvpn.testing.fake_tox import FakeNetwork
from toxvpn.testing.forward_pair import TargetProgram
from toxvpn.wire.socks5 import ReplyCode

from .conftest import PORT, SECRET, MakeNode, in_time


def is_path(node: toxvpn.Node, path: str) -> bool:
    return node._node.connection.path == path


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    peer: toxvpn.Peer = writer.get_extra_info("peer")
    writer.write(f"hello {peer.key}".encode())
    writer.close()


async def greeting(client: toxvpn.Node, server: toxvpn.Peer, port: int = PORT) -> str:
    reader, writer = await in_time(client.open_connection(server, "localhost", port))
    said = await in_time(reader.read())
    writer.close()
    return said.decode()


class TestWhoMayOpenStreams:
    async def test_who_has_the_secret(self, make_node: MakeNode) -> None:
        async with make_node(secret=SECRET) as server, make_node() as client:
            await server.start_server(greet, PORT)
            assert await greeting(client, client.peer(server.id, secret=SECRET)) == f"hello {client.id[:64]}"

    async def test_who_is_allowed(self, make_node: MakeNode, tmp_path: Path) -> None:
        async with make_node(tmp_path) as client, make_node(allow=[client.id]) as server:
            await server.start_server(greet, PORT)
            assert await greeting(client, client.peer(server.id))

    async def test_who_has_an_invite_also_later(self, make_node: MakeNode, tmp_path: Path) -> None:
        async with make_node(tmp_path / "client") as client:
            async with make_node(tmp_path / "server") as server:
                await server.start_server(greet, PORT)
                assert await greeting(client, client.peer(server.invite()))
            async with make_node(tmp_path / "server") as again:
                assert again.id == server.id
                await again.start_server(greet, PORT)
                assert await greeting(client, client.peer(again.id))

    async def test_not_who_is_called(self, make_node: MakeNode) -> None:
        """Each calls the other, and neither has let the other in."""
        async with make_node() as one, make_node() as other:
            await one.start_server(greet, PORT)
            one.peer(other.id)
            peer = other.peer(one.id)
            await in_time(peer.connected())
            with pytest.raises(toxvpn.StreamOpenError, match="not allowed") as refusal:
                await in_time(other.open_connection(peer, "localhost", PORT))
            assert refusal.value.code is ReplyCode.NOT_ALLOWED

    async def test_a_peer_that_came_by_the_secret_may_be_called_back(self, make_node: MakeNode) -> None:
        async with make_node(secret=SECRET) as server, make_node(secret=SECRET) as client:
            await server.start_server(greet, PORT)
            await client.start_server(greet, PORT)
            assert await greeting(client, client.peer(server.id, secret=SECRET))
            for back in (client.id[:64], client.id):
                with pytest.raises(toxvpn.StreamOpenError):
                    await in_time(server.open_connection(server.peer(back), "localhost", PORT))
            server.peer(client.id, secret=SECRET)
            assert await greeting(client, client.peer(server.id, secret=SECRET))


class TestTargets:
    async def test_a_port_without_a_handler_is_refused(self, make_node: MakeNode) -> None:
        async with make_node(secret=SECRET) as server, make_node() as client:
            peer = client.peer(server.id, secret=SECRET)
            async with await server.start_server(greet, PORT):
                assert await greeting(client, peer)
            with pytest.raises(toxvpn.StreamOpenError, match="refused") as refusal:
                await in_time(client.open_connection(peer, "localhost", PORT))
            assert refusal.value.code is ReplyCode.CONNECTION_REFUSED

    async def test_nothing_of_the_machine_is_served(self, make_node: MakeNode) -> None:
        target = TargetProgram()
        async with make_node(secret=SECRET) as server, make_node() as client:
            peer = client.peer(server.id, secret=SECRET)
            await server.start_server(greet, PORT)
            for host, port in (("localhost", target.port), ("127.0.0.2", PORT), ("box", PORT), ("@files", 1)):
                with pytest.raises(toxvpn.StreamOpenError):
                    await in_time(client.open_connection(peer, host, port))
        target.close()

    async def test_what_cannot_be_asked_for(self, make_node: MakeNode) -> None:
        async with make_node() as node, make_node() as other:
            peer = node.peer(other.id)
            for host, port in (("", 1), ("a b", 1), ("localhost", 0), ("localhost", 65536)):
                with pytest.raises(toxvpn.UsageError, match="target"):
                    await node.open_connection(peer, host, port)
            with pytest.raises(toxvpn.UsageError, match="another node"):
                await other.open_connection(peer, "localhost", 1)
            with pytest.raises(toxvpn.UsageError, match="own"):
                node.peer(node.id)
            with pytest.raises(toxvpn.UsageError, match="out of range"):
                await node.start_server(greet, 0)
            await node.start_server(greet, PORT)
            with pytest.raises(toxvpn.UsageError, match="has a handler already"):
                await node.start_server(greet, PORT)

    async def test_what_a_node_cannot_be_made_of(self, make_node: MakeNode, tmp_path: Path) -> None:
        for options, error in (
            ({"secret": ""}, toxvpn.UsageError),
            ({"allow": ["nobody"]}, toxvpn.UsageError),
            ({"road": "high"}, toxvpn.UsageError),
            ({"proxy": "carrier pigeon"}, toxvpn.UsageError),
            ({"nodes_file": tmp_path / "missing"}, toxvpn.ConfigError),
        ):
            with pytest.raises(error):
                async with make_node(**options):
                    pass


class TestListen:
    async def test_it_ends_with_the_node(self, make_node: MakeNode) -> None:
        async with make_node() as node, make_node() as other:
            forward = node.listen(node.peer(other.id), "localhost", PORT)
            with pytest.raises(toxvpn.ToxvpnError, match="in use"):
                node.listen(node.peer(other.id), "localhost", PORT, local_port=forward.port)
        with pytest.raises(OSError):
            await asyncio.open_connection(forward.host, forward.port)


class TestEvents:
    async def test_peers_come_and_go(self, make_node: MakeNode, network: FakeNetwork) -> None:
        async with make_node(secret=SECRET) as server:
            events = server.events()
            async with make_node() as client:
                peer = client.peer(server.id, secret=SECRET)
                await in_time(peer.connected())
                come = await in_time(anext(events))
                assert isinstance(come, toxvpn.PeerEvent)
                assert (come.peer.key, come.path, come.online) == (client.id[:64], "udp", True)
                assert peer.online and peer.path == "udp"
            gone = await in_time(anext(events))
            assert gone == toxvpn.PeerEvent(come.peer, "none") and not gone.online
        assert [event async for event in events] == []

    async def test_a_slow_program_gets_the_newest(self, make_node: MakeNode, network: FakeNetwork) -> None:
        async with make_node() as node:
            events = node.events()
            for path in ("none", "udp", "none"):
                network.set_online(path != "none")
                await until(partial(is_path, node, path))
            assert await in_time(anext(events)) == toxvpn.NetworkEvent("none")
            network.set_online(True)
            assert await in_time(anext(events)) == toxvpn.NetworkEvent("udp")


class TestEnd:
    async def test_who_waits_is_told(self, make_node: MakeNode) -> None:
        async with make_node() as node:
            peer = node.peer("0" * 63 + "1" + "0" * 8 + "0001")
            waits = [
                asyncio.create_task(peer.connected()),
                asyncio.create_task(node.open_connection(peer, "localhost", 1)),
            ]
            await asyncio.sleep(0.01)
        for each in waits:
            with pytest.raises(toxvpn.ClosedError, match="the node has ended"):
                await in_time(each)
        with pytest.raises(toxvpn.ClosedError):
            node.peer(peer.key)
        with pytest.raises(toxvpn.ClosedError):
            await peer.connected()

    async def test_handlers_are_cancelled(self, make_node: MakeNode) -> None:
        ended: list[str] = []

        async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"x")
            try:
                await asyncio.sleep(3600)
            finally:
                ended.append("cancelled")

        async with make_node() as client:
            async with make_node(secret=SECRET) as server:
                await server.start_server(wait, PORT)
                peer = client.peer(server.id, secret=SECRET)
                reader, _ = await in_time(client.open_connection(peer, "localhost", PORT))
                assert await in_time(reader.read(1)) == b"x"
            assert ended == ["cancelled"]
            with pytest.raises(ConnectionResetError):
                await in_time(reader.read())

    async def test_an_identity_is_let_go(self, make_node: MakeNode, tmp_path: Path) -> None:
        with contextlib.suppress(LookupError):
            async with make_node(tmp_path):
                with pytest.raises(IdentityInUseError):
                    async with make_node(tmp_path):
                        pass
                raise LookupError
        Identity.open(tmp_path).close()
