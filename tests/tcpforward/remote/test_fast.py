"""-R over the fast road, of TCP and of UDP: two private stacks, and the packet path between them."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from toxvpn.errors import ToxvpnError
from toxvpn.tcpforward.builtin import as_socket, open_builtin
from toxvpn.tcpforward.caller import Caller
from toxvpn.tcpforward.remote.client import RemoteForwarding
from toxvpn.tcpforward.remote.rules import parse_listen_rules
from toxvpn.tcpforward.remote.server import RemoteListeners
from toxvpn.tcpforward.remote.spec import parse_remote
from toxvpn.testing.fake_nodes import until
from toxvpn.testing.fast_pair import FastPair
from toxvpn.testing.forward_pair import OUR_STATUS, in_time
from toxvpn.testing.remote_pair import RemotePair
from toxvpn.wire.associations import NAME, VERSION, Associate, AssociationEnded, decode, encode
from toxvpn.wire.jsonlines import JsonLines, encode_line
from toxvpn.wire.remotelisten import VERSION as PASSAGE_VERSION
from toxvpn.wire.socks5 import ReplyCode

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]

HERE = "127.0.0.1"


class Scene:
    """A pair with the fast road, whose server listens on loopback for the client; a UDP target there."""

    def __init__(self, pair: FastPair) -> None:
        self.pair = pair
        self.rules = parse_listen_rules(["localhost:*"])
        roads = pair.serving.chooser
        self.listeners = RemoteListeners(pair.server_node, roads, roads.choice, lambda _: self.rules)
        self.listeners.offer(pair.builtins)
        self.back = Caller(pair.server_node, pair.client_peer, roads)
        self.target = self.udp()
        self._tasks: list[asyncio.Task[None]] = []

    def udp(self) -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.setblocking(False)
        made.bind((HERE, 0))
        self.pair.stack.callback(made.close)
        return made

    async def remote(self, spec: str) -> tuple[RemoteForwarding, int]:
        """What is asked for, and the port of the listener."""
        choice, told = self.pair.calling.chooser.choice, list[str]().append
        made = RemoteForwarding(
            self.pair.caller, self.pair.client_builtins, choice, parse_remote(spec), told, "box"
        )
        self._tasks.append(asyncio.create_task(made.run(keep_trying=False)))
        await until(lambda: made.state.problem is None)
        return made, int(made.state.listen.rpartition(":")[2])

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await until(lambda: not self.listeners.states())

    async def close(self) -> None:
        await self.end()
        self.back.close()
        await self.listeners.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene() -> AsyncIterator[Scene]:
    async with FastPair() as pair:
        await pair.until_fast()
        await until(lambda: pair.serving.chooser.choice(pair.client_peer)[0] == "fast")
        made = Scene(pair)
        yield made
        await made.close()


async def test_tcp(scene: Scene) -> None:
    _, port = await scene.remote(f"0:{scene.pair.target.target}")
    program = await scene.pair.connect(port)
    target = await scene.pair.accept()
    await program.send(b"question")
    assert await target.receive(8) == b"question"
    target.end()
    assert await program.receive_all() == b""
    assert scene.listeners.states()[0].road == "fast"
    await scene.end()


async def test_udp(scene: Scene) -> None:
    forwarding, port = await scene.remote(f"udp/0:{HERE}:{scene.target.getsockname()[1]}")
    assert forwarding.state.listen == f"box: udp/127.0.0.1:{port}, [::1]:{port}"
    program, loop = scene.udp(), asyncio.get_running_loop()
    for data in (b"question", b"", bytes(60000)):
        program.sendto(data, (HERE, port))
        asked, source = await in_time(loop.sock_recvfrom(scene.target, 1 << 16))
        scene.target.sendto(data[::-1], source)
        answer = await in_time(loop.sock_recvfrom(program, 1 << 16))
        assert (asked, answer) == (data, (data[::-1], (HERE, port)))
    assert scene.listeners.states()[0].streams == 1
    await scene.end()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as next_one:
        next_one.bind((HERE, port))


async def answer(scene: Scene, host: str, port: int) -> ReplyCode | None:
    """The client's answer when the server asks it for an association with that; None: it has one."""
    sock, ending = as_socket(await in_time(open_builtin(scene.back, NAME, VERSION)))
    with sock:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(sock, encode_line(encode(Associate(1, host, port, 5353))))
        [line] = JsonLines().receive(await in_time(loop.sock_recv(sock, 4096)))
        message = decode(line)
        ending.cancel()
    return message.code if isinstance(message, AssociationEnded) else None


async def test_datagrams_of_the_server_reach_the_target_of_the_client_and_nothing_else(scene: Scene) -> None:
    """A hostile server: it asks for associations with whatever the client can reach."""
    port = scene.target.getsockname()[1]
    with pytest.raises(ToxvpnError, match="not allowed"):
        await in_time(open_builtin(scene.back, NAME, VERSION))  # the client asked for nothing
    forwarding, _ = await scene.remote(f"udp/0:{HERE}:{port}")
    name = f"@remote-{forwarding._token}"
    assert await answer(scene, name, PASSAGE_VERSION) is None
    for host, at in [
        (HERE, port),
        ("localhost", port),
        (name, port),
        (name[:-1], PASSAGE_VERSION),
        ("@remote-" + "0" * 32, PASSAGE_VERSION),
        ("@udp", VERSION),
    ]:
        assert await answer(scene, host, at) in (ReplyCode.NOT_ALLOWED, ReplyCode.HOST_UNREACHABLE), host
    await scene.end()
    with pytest.raises(ToxvpnError, match="not allowed"):
        await in_time(open_builtin(scene.back, NAME, VERSION))


async def test_a_server_that_keeps_its_association_loses_it_with_the_forward(scene: Scene) -> None:
    forwarding, _ = await scene.remote(f"udp/0:{HERE}:{scene.target.getsockname()[1]}")
    sock, ending = as_socket(await in_time(open_builtin(scene.back, NAME, VERSION)))
    with sock:
        loop = asyncio.get_running_loop()
        asked = Associate(1, f"@remote-{forwarding._token}", PASSAGE_VERSION, 5353)
        await loop.sock_sendall(sock, encode_line(encode(asked)))
        await in_time(loop.sock_recv(sock, 4096))
        assert scene.pair.answering.associations == 1
        await scene.end()
        assert scene.pair.answering.associations == 0
        ending.cancel()


async def test_a_rule_may_be_for_udp_alone(scene: Scene) -> None:
    scene.rules = parse_listen_rules(["udp/*"])
    await scene.remote(f"udp/0:{HERE}:{scene.target.getsockname()[1]}")
    await scene.end()
    refused = parse_remote(f"0:{scene.pair.target.target}")
    choice, told = scene.pair.calling.chooser.choice, list[str]().append
    forwarding = RemoteForwarding(scene.pair.caller, scene.pair.client_builtins, choice, refused, told)
    with pytest.raises(ToxvpnError, match="may not listen"):
        await in_time(forwarding.run(keep_trying=False))
    scene.rules = parse_listen_rules(["localhost:*"])


async def test_without_the_fast_road_there_is_a_line() -> None:
    async with RemotePair("localhost:*") as pair:
        await until(lambda: pair.peer.status_text == OUR_STATUS)
        with pytest.raises(ToxvpnError, match=r"box cannot listen on udp/.*: UDP needs the fast road"):
            await in_time(pair.run(pair.remote("udp/0:localhost:53")))
