"""A whole speed test over the tuntox road, and peers that do not keep to its rules."""

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from toxvpn.errors import PeerRefusedError, ToxvpnError
from toxvpn.tcpforward.builtin import Builtin, Builtins, as_socket, open_builtin
from toxvpn.tcpforward.choice import RoadChooser
from toxvpn.tcpforward.fast.segments import Segments
from toxvpn.tcpforward.rules import Rules
from toxvpn.tcpforward.server import ForwardServer
from toxvpn.tcpforward.spec import RoadPolicy
from toxvpn.tcpforward.speed import client as client_module
from toxvpn.tcpforward.speed import server as server_module
from toxvpn.tcpforward.speed.client import SpeedClient
from toxvpn.tcpforward.speed.server import SpeedServer
from toxvpn.tcpforward.speed.streams import LineStream, random_block
from toxvpn.testing.fake_nodes import until
from toxvpn.testing.forward_pair import ForwardPair, in_time
from toxvpn.tox.peer import Peer
from toxvpn.wire.speed import book
from toxvpn.wire.speed.messages import (
    BUSY,
    DOWN,
    NAME,
    UP,
    VERSION,
    Answer,
    Ask,
    Begun,
    Load,
    Message,
    Received,
    Refused,
    Sent,
    Want,
)

SECONDS = 0.3


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((client_module, "IDLE_S"), (client_module, "PING_INTERVAL_S"),
                         (client_module, "TELL_S"), (client_module, "DRAIN_S"),
                         (server_module, "REPORT_S"), (book, "LEAST_S")):  # fmt: skip
        monkeypatch.setattr(module, name, 0.02)


class Pair(ForwardPair):
    """Its server offers @speed to who `may` have it, and nothing else."""

    def __init__(self) -> None:
        self.builtins = Builtins()
        super().__init__(serve=ForwardServer(lambda _: Rules(()), self.builtins).serve)
        self.may = True
        self.counts: dict[int, Segments] = {}
        self.server = SpeedServer(lambda _: self.may, lambda _: self.counts)
        self.builtins.offer(NAME, self.server.builtin)
        self.told: list[Mapping[str, Any]] = []
        self.roads = RoadChooser(self.client_node, self.client_road, RoadPolicy.TUNTOX)
        self.stack.push_async_callback(self.builtins.close)
        self.client = SpeedClient(self.caller, self.roads, lambda _: 0.05, self.told.append)

    async def open(self, first: Message) -> LineStream:
        sock, _ = as_socket(await in_time(open_builtin(self.caller, NAME, VERSION)))
        self.stack.callback(sock.close)
        stream = LineStream(sock)
        await stream.send(first)
        return stream

    async def begun(self) -> tuple[LineStream, Begun]:
        control = await self.open(Want(SECONDS))
        answer = await in_time(control.receive())
        assert isinstance(answer, Begun)
        return control, answer


@pytest.fixture
async def pair(no_descriptor_is_left: None) -> AsyncIterator[Pair]:
    async with Pair() as made:
        yield made


async def test_both_directions_are_measured(pair: Pair) -> None:
    pair.peer.source = "192.0.2.7", 33445
    result = (await in_time(pair.client.measure(SECONDS))).document()
    assert (result["path"], result["road"], result["road_reason"]) == ("udp", "tuntox", "--road tuntox")
    assert result["address"] == "192.0.2.7:33445"
    assert result["probe_loss"] == 0.05
    assert result["idle"]["rtt_answers"] >= 5
    for direction in (result["down"], result["up"]):
        assert direction["bits_per_second"] > 0 and direction["bytes"] > 10_000
        assert SECONDS / 2 < direction["seconds"] < SECONDS + 0.5
        assert 0 < direction["rtt_p50_seconds"] <= direction["rtt_worst_seconds"]
        assert direction["tcp_segments"] is None
    phases = [told["phase"] for told in pair.told]
    assert set(phases) == {"connecting", "idle", "down", "up"}
    assert any(told.get("bits_per_second", 0) > 0 for told in pair.told)


async def test_a_peer_that_may_not_is_told_what_to_do(pair: Pair) -> None:
    pair.may = False
    with pytest.raises(PeerRefusedError, match="allow_speed = true"):
        await in_time(pair.client.measure(SECONDS))


async def test_a_second_test_of_a_peer_is_refused_until_the_first_is_over(pair: Pair) -> None:
    control, _ = await pair.begun()
    with pytest.raises(PeerRefusedError, match="runs already"):
        await in_time(pair.client.measure(SECONDS))
    control.sock.close()
    await until(lambda: not pair.server._running)
    await pair.begun()


async def test_bytes_come_once_and_for_no_longer_than_was_said(pair: Pair) -> None:
    control, begun = await pair.begun()
    load = await pair.open(Load(DOWN, begun.test))
    loop = asyncio.get_running_loop()
    began_s, got = loop.time(), 0
    while data := await in_time(loop.sock_recv(load.sock, 1 << 20)):
        assert got > 1000 or random_block().startswith(data[:100])
        got += len(data)
    assert got > 0 and loop.time() - began_s < SECONDS + 1
    assert isinstance(await in_time(control.receive()), Sent)
    again = await pair.open(Load(DOWN, begun.test))
    assert await in_time(loop.sock_recv(again.sock, 1)) == b""


async def test_without_a_test_of_its_own_a_peer_gets_no_bytes(pair: Pair) -> None:
    await pair.begun()
    load = await pair.open(Load(DOWN, "0123456789abcdef"))
    assert await in_time(asyncio.get_running_loop().sock_recv(load.sock, 1)) == b""


async def test_with_its_control_stream_a_test_ends(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "LATE_S", 100.0)
    control, begun = await pair.begun()
    load = await pair.open(Load(UP, begun.test))
    load.sock.send(b"x")
    assert isinstance(await in_time(control.receive()), Received)
    control.sock.close()
    assert await in_time(asyncio.get_running_loop().sock_recv(load.sock, 1)) == b""


async def test_a_test_that_is_not_ended_ends_by_itself(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book, "SPARE_S", -0.5)
    control, _ = await pair.begun()
    with pytest.raises(EOFError):
        await in_time(control.receive())


async def test_what_has_come_is_counted_from_the_first_byte(pair: Pair) -> None:
    control, begun = await pair.begun()
    load = await pair.open(Load(UP, begun.test))
    load.sock.send(b"x" * 1000)
    load.sock.shutdown(socket.SHUT_WR)
    counts: list[Received] = []
    while not counts or counts[-1].total_bytes < 1000:
        message = await in_time(control.receive())
        assert isinstance(message, Received)
        counts.append(message)
    assert counts[-1].at_s < 1


async def test_what_is_sent_again_is_told(pair: Pair) -> None:
    pair.counts = {3: Segments(10, 1)}
    control, begun = await pair.begun()
    await pair.open(Load(DOWN, begun.test))
    pair.counts = {3: Segments(110, 3)}
    while not isinstance(message := await in_time(control.receive()), Sent):
        pass
    assert message in (Sent(100, 2), Sent(0, 0))  # the server may have looked before us


@pytest.mark.parametrize("line", [b"GET / HTTP/1.1\r\n", b'{"answer":{"number":1}}\n', b"x" * 5000])
async def test_another_protocol_ends_the_stream(pair: Pair, line: bytes) -> None:
    sock, _ = as_socket(await in_time(open_builtin(pair.caller, NAME, VERSION)))
    with sock:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(sock, line)
        if not line.startswith(b"x"):
            assert await in_time(loop.sock_recv(sock, 100)) == b""
    await until(lambda: not pair.server._running)


async def test_answers_to_pings_are_bounded(pair: Pair) -> None:
    control, _ = await pair.begun()
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    for number in range(20):
        await control.send(Ask(number))
    for number in range(20):
        assert await in_time(control.receive()) == Answer(number)
    assert loop.time() - began_s >= 19 * server_module.PING_PAUSE_S


class TestAPeerThat:
    """What the client makes of a server that does not do as it should."""

    def serve(self, pair: Pair, *answers: bytes) -> None:
        async def carry(_: Peer, sock: socket.socket) -> None:
            loop = asyncio.get_running_loop()
            for answer in answers:
                await loop.sock_recv(sock, 4096)
                await loop.sock_sendall(sock, answer)

        pair.builtins.offer(NAME, Builtin(VERSION, lambda _: True, "", carry))

    @pytest.mark.parametrize("answer", [b"hello\n", b'{"answer":{"number":1}}\n', b"x" * 5000, b""])
    async def test_speaks_another_protocol(self, pair: Pair, answer: bytes) -> None:
        self.serve(pair, answer)
        with pytest.raises(ToxvpnError, match="does not answer as a speed test should"):
            await in_time(pair.client.measure(SECONDS))

    async def test_breaks_off(self, pair: Pair) -> None:
        self.serve(pair, b'{"begun":{"test":"x","seconds":1}}\n', b'{"answer":{"number":0}}\n')
        with pytest.raises(ToxvpnError, match="the speed test broke: the other side has ended the stream"):
            await in_time(pair.client.measure(SECONDS))

    async def test_breaks_off_instead_of_the_last_answer(
        self, pair: Pair, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The loop has nothing to complain of."""
        faults: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))

        async def until_asked() -> None:
            await until(lambda: 1 in pair.client._answers)

        async def nothing(_: Begun) -> None:
            return None

        monkeypatch.setattr(pair.client, "_idle", until_asked)
        for name in ("_receive", "_send"):
            monkeypatch.setattr(pair.client, name, nothing)
        begun, answer = b'{"begun":{"test":"x","seconds":1}}\n', b'{"answer":{"number":0}}\n'
        self.serve(pair, begun, answer, b"")
        with pytest.raises(ToxvpnError, match="the speed test broke: the other side has ended the stream"):
            await in_time(pair.client.measure(SECONDS))
        gc.collect()
        assert faults == []

    async def test_says_that_it_is_busy(self, pair: Pair) -> None:
        self.serve(pair, b'{"refused":{"why":"full"}}\n')
        with pytest.raises(PeerRefusedError, match="as many speed tests as it takes"):
            await in_time(pair.client.measure(SECONDS))
        assert Refused(BUSY).why == "busy"

    async def test_does_not_have_it(self, pair: Pair) -> None:
        pair.builtins.offer(NAME, Builtin(VERSION + 1, lambda _: True, "", pair.server._carry))
        with pytest.raises(ToxvpnError, match="the peer's toxvpn does not have this"):
            await in_time(pair.client.measure(SECONDS))
