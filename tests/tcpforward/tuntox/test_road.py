"""Streams on the tuntox road, from an application's socket to the target's, over a Tox network in memory."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable
from functools import partial

import pytest

from toxvpn._native.results import SendResult
from toxvpn.errors import PeerOfflineError
from toxvpn.tcpforward.caller import Caller
from toxvpn.tcpforward.ends import End
from toxvpn.tcpforward.road import StreamOpenError
from toxvpn.tcpforward.rules import parse_rules
from toxvpn.tcpforward.spec import Target
from toxvpn.tcpforward.target import TargetRefusedError
from toxvpn.tcpforward.tuntox.stream import READ_BYTES, TunnelStream
from toxvpn.testing.fake_nodes import until
from toxvpn.testing.fake_tuntox import V1, V2, FakeTuntoxClient, FakeTuntoxServer
from toxvpn.testing.forward_pair import ForwardPair, Program, in_time
from toxvpn.tox.loglimit import AT_ONCE
from toxvpn.tox.node import Node
from toxvpn.tox.peer import Peer
from toxvpn.tox.statuses import Statuses
from toxvpn.tox.timing import LONGEST_STEP_S, ClockSteps
from toxvpn.wire.socks5 import ReplyCode
from toxvpn.wire.tuntox.open_tunnels import EOF_IDLE_S, MAX_INBOUND_TUNNELS
from toxvpn.wire.tuntox.tunnel import HIGH_WATER_BYTES, INITIAL_WINDOW_BYTES, WINDOW_BYTES

NOISE = random.Random(1).randbytes(1 << 20)
SMALL_BYTES = 16 * 1024


@pytest.fixture
async def pair(no_descriptor_is_left: None) -> AsyncIterator[ForwardPair]:
    async with ForwardPair() as made:
        yield made
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_bad_status_messages_do_not_fill_the_log(
    pair: ForwardPair, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Statuses, "stated", lambda *_: True)  # not just one a second
    for number in range(30):
        pair.client_node.tox.status_message = b'{"mode":"tun","ownip":%d}' % number
        await until(lambda: pair.client_peer.status_text == pair.client_node.tox.status_message)
    assert sum("status message disregarded" in line for line in caplog.messages) == AT_ONCE


def no_streams(pair: ForwardPair) -> bool:
    return not any(link.streams for link in pair.links)


class TestData:
    async def test_bytes_go_both_ways_unchanged(self, pair: ForwardPair) -> None:
        application, target = await pair.joined()
        await application.send(bytes(range(256)))
        assert await target.receive(256) == bytes(range(256))
        await target.send(bytes(reversed(range(256))))
        assert await application.receive(256) == bytes(reversed(range(256)))

    async def test_the_target_may_speak_first(self, pair: ForwardPair) -> None:
        application, target = await pair.joined()
        await target.send(b"SSH-2.0-")
        assert await application.receive(8) == b"SSH-2.0-"

    async def test_both_ends_end_well(self, pair: ForwardPair) -> None:
        application, target = await pair.joined()
        await application.send(b"last words")
        application.close()
        assert await target.receive_all() == b"last words"
        target.close()
        await until(lambda: no_streams(pair))

    async def test_a_full_queue_in_toxcore_loses_and_reorders_nothing(self, pair: ForwardPair) -> None:
        for node in (pair.client_node, pair.server_node):
            pair.network.fake(node).queue_packets = 50
        application, target = await pair.joined()
        async with asyncio.TaskGroup() as group:
            group.create_task(application.send(NOISE))
            group.create_task(target.send(NOISE[::-1]))
            up = group.create_task(target.receive(len(NOISE)))
            down = group.create_task(application.receive(len(NOISE)))
        assert up.result() == NOISE
        assert down.result() == NOISE[::-1]

    async def test_time_passes_in_steps_while_toxcore_refuses_packets(self, pair: ForwardPair) -> None:
        fake = pair.network.fake(pair.client_node)
        application, target = await pair.joined()
        fake.queue_packets = 0
        await application.send(b"refused")
        await until(lambda: len(fake.steps_s) > 1)
        assert fake.steps_s[0] == LONGEST_STEP_S
        fake.queue_packets = 50
        assert await target.receive(7) == b"refused"
        assert pair.client_road._retries._timer is None

    async def test_what_is_refused_goes_after_a_step_and_not_before(
        self, pair: ForwardPair, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Sent sooner, it would use up what toxcore allows for the step, and a turn without would follow."""
        fake = pair.network.fake(pair.client_node)
        application, target = await pair.joined()
        fake.queue_packets = 0
        monkeypatch.setattr(ClockSteps, "begin", lambda steps, now: setattr(steps, "step_s", 3600.0))
        await application.send(b"refused")
        await until(lambda: fake.steps_s)
        fake.queue_packets = 50
        await target.send(b"heard")
        assert await application.receive(5) == b"heard"
        [link] = pair.client_road._links.values()
        assert link.tunnels.next_packet() is not None
        pair.client_road._retries._retry()
        assert await target.receive(7) == b"refused"

    async def test_many_streams_at_once_keep_apart(self, pair: ForwardPair) -> None:
        port = pair.forward()
        serving = asyncio.create_task(echo(pair, 100))
        applications = [await pair.connect(port) for _ in range(100)]

        async def ask(number: int) -> bytes:
            await applications[number].send(b"%d" % number * 5000)
            applications[number].end()
            return await applications[number].receive_all()

        answers = await asyncio.gather(*map(ask, range(100)))
        await serving
        assert answers == [b"%d" % number * 5000 for number in range(100)]


class TestFailures:
    """Errors of ours: whatever fails, the others go on, and nothing is lost silently."""

    async def test_a_stream_that_misses_something_is_reset_and_the_others_go_on(
        self, pair: ForwardPair, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        application, target = await pair.joined()
        other_application, other_target = await pair.joined()
        real, failed = TunnelStream.on_data, list[TunnelStream]()

        def on_data(stream: TunnelStream, data: bytes) -> None:
            if not failed:
                failed.append(stream)
                raise RuntimeError("of the test")
            real(stream, data)

        monkeypatch.setattr(TunnelStream, "on_data", on_data)
        await target.send(b"is lost")
        await until(lambda: failed)
        await other_target.send(b"arrives")
        assert await other_application.receive(7) == b"arrives"
        assert await application.is_reset()
        assert "could not be handled" in caplog.text

    async def test_what_could_not_be_sent_is_tried_again(
        self, pair: ForwardPair, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        application, target = await pair.joined()
        real, failures = pair.client_node.send_lossless, [RuntimeError("one"), RuntimeError("another")]

        def send_lossless(peer: Peer, packet: bytes) -> SendResult:
            if failures:
                raise failures.pop()
            return real(peer, packet)

        raised = list[object]()
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: raised.append(context["exception"])
        )
        monkeypatch.setattr(pair.client_node, "send_lossless", send_lossless)
        await application.send(b"arrives")
        assert await target.receive(7) == b"arrives"
        assert [str(each) for each in raised] == ["another"], "the other one by the retry's own guard"

    async def test_a_failing_timer_is_set_again(
        self, pair: ForwardPair, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await pair.joined()
        link, _ = pair.links

        def fail(now: float) -> None:
            raise RuntimeError("of the test")

        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(link.tunnels, "handle_timer", fail)
            with pytest.raises(RuntimeError):
                link.driver._on_timer()
        assert link.driver._send_planned, "which sets the timer"


async def echo(pair: ForwardPair, count: int) -> None:
    """Accepts so many connections and sends each one's bytes back at its end."""

    async def answer(target: Program) -> None:
        await target.send(await target.receive_all())
        target.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(answer(await pair.accept()))


class TestHalfClose:
    async def test_of_the_application_gets_its_whole_answer(self, pair: ForwardPair) -> None:
        application, target = await pair.joined()
        await application.send(b"question")
        application.end()
        assert await target.receive_all() == b"question"
        sending = asyncio.create_task(target.send(NOISE))
        assert await application.receive(len(NOISE)) == NOISE
        await sending
        target.close()
        assert await application.receive_all() == b""

    async def test_of_the_target_still_hears_the_application(self, pair: ForwardPair) -> None:
        application, target = await pair.joined()
        await target.send(b"greeting")
        target.end()
        assert await application.receive_all() == b"greeting"
        sending = asyncio.create_task(application.send(NOISE))
        assert await target.receive(len(NOISE)) == NOISE
        await sending
        application.close()
        assert await target.receive_all() == b""


class TestReset:
    async def test_of_the_application_reaches_the_target(self, pair: ForwardPair) -> None:
        application, target = await pair.joined()
        await application.send(b"x")
        await target.receive(1)
        application.reset()
        assert await target.is_reset()
        await until(lambda: no_streams(pair))

    async def test_of_the_target_reaches_the_application(self, pair: ForwardPair) -> None:
        application, target = await pair.joined()
        target.reset()
        assert await application.is_reset()
        await until(lambda: no_streams(pair))

    async def test_of_an_end_that_takes_nothing_any_more(self, pair: ForwardPair) -> None:
        application, target = await pair.joined()
        application.end()
        assert await target.receive_all() == b""
        application.reset()
        await target.send(b"for nobody")
        await until(lambda: no_streams(pair))
        with pytest.raises(ConnectionError):
            await target.send(b"for nobody")

    async def test_by_cancelling_one_side_reaches_both_ends(self, pair: ForwardPair) -> None:
        application, target = await pair.joined()
        await target.send(b"x")
        await application.receive(1)
        await pair.client_road.close()  # serves nothing: no effect on what is called from here
        await in_time(pair.server_road.close())
        assert await target.is_reset()
        assert await application.is_reset()


class TestRefusal:
    async def test_closes_the_application_at_once_and_is_told(
        self, pair: ForwardPair, caplog: pytest.LogCaptureFixture
    ) -> None:
        port = pair.target.port
        pair.target.close()
        application = await pair.connect(pair.forward())
        assert await application.is_reset()
        assert f"127.0.0.1:{port}: the peer says: connection refused" in caplog.text

    async def test_tells_the_peer_no_more_than_its_code(
        self, pair: ForwardPair, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def serve(peer: Peer, host: str, port: int) -> End:
            raise TargetRefusedError(ReplyCode.NOT_ALLOWED, "nothing.corp:80: Name or service not known")

        caplog.set_level(logging.INFO)
        monkeypatch.setattr(pair.server_road._server, "_serve", serve)
        with pytest.raises(StreamOpenError) as refused:
            await pair.caller.open(Target("nothing.corp", 80))
        assert str(refused.value) == "the peer says: not allowed; its log says why"
        assert "refused: nothing.corp:80: Name or service not known" in caplog.text, "our own log tells"

    async def test_by_an_error_of_ours_holds_no_place(
        self, pair: ForwardPair, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def serve(peer: Peer, host: str, port: int) -> End:
            raise RuntimeError("a bug")

        monkeypatch.setattr(pair.server_road._server, "_serve", serve)
        for _ in range(MAX_INBOUND_TUNNELS + 1):
            with pytest.raises(StreamOpenError, match="the peer says: general failure"):
                await pair.caller.open(Target("localhost", 80))
        assert not pair.links[1].tunnels.drops

    async def test_after_refusal_does_not_fill_either_log(
        self, pair: ForwardPair, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        pair.target.close()
        port = pair.forward()
        for _ in range(30):
            assert await (await pair.connect(port)).is_reset()
        server_lines = [line for line in caplog.messages if "refused: 127.0.0.1" in line]
        client_lines = [line for line in caplog.messages if "the peer says: connection refused" in line]
        assert len(server_lines) == len(client_lines) == AT_ONCE

    async def test_has_a_code(self, pair: ForwardPair) -> None:
        pair.target.close()
        with pytest.raises(StreamOpenError) as refused:
            await pair.caller.open(pair.target.target)
        assert refused.value.code is ReplyCode.CONNECTION_REFUSED

    async def test_by_the_rules(self, no_descriptor_is_left: None, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        async with ForwardPair(parse_rules("localhost:1", "rule")) as pair:
            with pytest.raises(StreamOpenError, match="not allowed") as refused:
                await pair.caller.open(pair.target.target)
            assert refused.value.code is ReplyCode.NOT_ALLOWED
        assert f"peer {pair.client_node.tox.public_key.hex()[:8].upper()}: refused: " in caplog.text
        assert "no rule allows it" in caplog.text

    async def test_without_room_for_one_more_is_over_with_the_lack(
        self, pair: ForwardPair, leave_descriptors: Callable[[int], None], caplog: pytest.LogCaptureFixture
    ) -> None:
        leave_descriptors(4)
        application, target = await pair.joined()
        with pytest.raises(StreamOpenError, match="general failure"):
            await pair.caller.open(pair.target.target)
        assert "refused: too many streams" in caplog.text
        application.reset()
        assert await target.is_reset()
        await until(lambda: no_streams(pair))
        application, target = await pair.joined()
        await application.send(b"x")
        assert await target.receive(1) == b"x"

    async def test_by_a_side_that_only_calls(self, pair: ForwardPair) -> None:
        with pytest.raises(StreamOpenError, match="not allowed"):
            await pair.server_road.open(pair.client_peer, "127.0.0.1", pair.target.port)


class TestConnectionToThePeer:
    async def test_lost_resets_what_is_open(self, pair: ForwardPair) -> None:
        application, target = await pair.joined()
        await application.send(b"x")
        await target.receive(1)
        pair.network.tox.set_online(False)
        assert await application.is_reset()
        assert await target.is_reset()

    async def test_lost_and_found_works_again(self, pair: ForwardPair) -> None:
        port = pair.forward()
        for _ in range(3):
            application, target = await pair.joined(port)
            await application.send(b"x")
            assert await target.receive(1) == b"x"
            pair.network.tox.set_online(False)
            assert await application.is_reset()
            pair.network.tox.set_online(True)

    async def test_lost_while_a_request_is_open_sends_it_again(
        self, pair: ForwardPair, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sent: list[bytes] = []

        def swallow(peer: object, packet: bytes) -> None:
            sent.append(packet)

        lossless = pair.server_node._subscriptions._on_packet
        real, lossless[0xA2] = lossless[0xA2], swallow
        opening = asyncio.create_task(pair.caller.open(pair.target.target))
        await until(lambda: any(packet[2:4] == b"\x06\x02" for packet in sent))
        pair.network.tox.set_online(False)
        await until(lambda: not pair.peer.online)
        lossless[0xA2] = real
        pair.network.tox.set_online(True)
        (await in_time(opening)).abort()
        assert await (await pair.accept()).is_reset()

    async def test_of_a_peer_that_is_gone_leaves_nothing_behind(self, pair: ForwardPair) -> None:
        application, target = await pair.joined()
        await target.send(b"x")
        await application.receive(1)
        pair.server_node.remove(pair.client_peer)
        assert await target.is_reset()
        assert await application.is_reset()
        await until(lambda: not pair.server_road._links)

    async def test_of_a_passing_client_leaves_nothing_behind(self, pair: ForwardPair) -> None:
        await in_time(pair.client_road.ping(pair.peer))
        drops = pair.server_road.drops()
        assert pair.server_road._links
        pair.network.tox.set_online(False)
        await until(lambda: not pair.server_road._links)
        assert pair.server_road.drops() == drops

    async def test_of_a_peer_that_is_removed_meanwhile(self, pair: ForwardPair) -> None:
        """Who waits for it waits in vain; as a new peer it is welcome."""
        pair.network.tox.set_online(False)
        await until(lambda: not pair.peer.online)
        opening = asyncio.create_task(pair.client_road.open(pair.peer, "127.0.0.1", pair.target.port))
        await asyncio.sleep(0)
        pair.client_node.remove(pair.peer)
        with pytest.raises(PeerOfflineError, match="removed"):
            await in_time(opening)
        pair.client_node.accept(bytes(32))  # takes the number that has become free
        peer = pair.client_node.accept(pair.server_node.tox.public_key)
        pair.network.tox.set_online(True)
        (await in_time(pair.client_road.open(peer, "127.0.0.1", pair.target.port))).abort()

    async def test_a_ping_is_timed_and_fails_when_the_peer_leaves(self, pair: ForwardPair) -> None:
        assert 0 < await in_time(pair.client_road.ping(pair.peer)) < 10
        pair.server_node._subscriptions._on_packet[0xA2] = lambda peer, packet: None
        answer = asyncio.create_task(pair.client_road.ping(pair.peer))
        await asyncio.sleep(0)
        pair.network.tox.set_online(False)
        with pytest.raises(PeerOfflineError):
            await in_time(answer)
        with pytest.raises(PeerOfflineError):
            await in_time(pair.client_road.ping(pair.peer))


class TestFlowControl:
    MOST_BYTES = WINDOW_BYTES + INITIAL_WINDOW_BYTES + HIGH_WATER_BYTES + READ_BYTES

    async def test_a_slow_reader_stalls_its_own_sender_and_nobody_else(self, pair: ForwardPair) -> None:
        """What is on the way meanwhile is bounded; all of it arrives once the reader reads."""
        slow = await pair.connect(pair.forward(), buffer_bytes=SMALL_BYTES)
        stalled = await pair.accept()
        stalled_sending = asyncio.create_task(stalled.send(NOISE * 16))
        other, quick = await pair.joined()
        for _ in range(8):
            sending = asyncio.create_task(quick.send(NOISE))
            assert await other.receive(len(NOISE)) == NOISE
            await sending
        assert held_bytes(pair) <= self.MOST_BYTES
        assert not stalled_sending.done()
        for _ in range(16):
            assert await slow.receive(len(NOISE)) == NOISE
        await stalled_sending


def held_bytes(pair: ForwardPair) -> int:
    """What both sides keep for their streams."""
    queued = [tunnel.queued_bytes for side in pair.links for tunnel in side.tunnels._tunnels]
    waiting = [
        len(chunk) for side in pair.links for stream in side.streams.values() for chunk in stream._inbound
    ]
    return sum(queued) + sum(waiting)


class TuntoxPeer:
    """A scripted tuntox in the network, a friend of `node`'s."""

    def __init__(self, pair: ForwardPair, node: Node, program: FakeTuntoxServer | FakeTuntoxClient) -> None:
        self.program = program
        self.node = pair.network.node()
        self.peer = self.node.accept(node.tox.public_key)  # ours, as tuntox sees it
        self.as_peer = node.accept(self.node.tox.public_key)
        self.node.on_packet_id(0xA2, self._receive)

    def send(self, *packets: bytes) -> None:
        for packet in packets:
            assert self.node.send_lossless(self.peer, packet) is SendResult.SENT

    def _receive(self, peer: Peer, packet: bytes) -> None:
        self.send(*(self.program.receive(packet) or []))


@pytest.mark.parametrize("magic", [V1, V2])
class TestTuntox:
    async def test_as_server(self, pair: ForwardPair, magic: int) -> None:
        program = FakeTuntoxServer(magic, ("internal", 80))
        tuntox = TuntoxPeer(pair, pair.client_node, program)
        client = Caller(pair.client_node, tuntox.as_peer, pair.client_road)
        port = pair.listen(partial(client.carry, target=Target("internal", 80)))
        applications = [await pair.connect(port) for _ in range(3)]
        for application in applications:
            await application.send(NOISE[:5000])
        await until(lambda: list(program.received.values()) == [NOISE[:5000]] * 3)
        first, second, third = program.received
        tuntox.send(*program.send(first, NOISE[:7000]), *program.close(first))
        assert await applications[0].receive_all() == NOISE[:7000]
        applications[1].reset()
        await until(lambda: second in program.closed)
        applications[2].end()  # tuntox knows no half-close: it must not be told, or there would be no answer
        await asyncio.sleep(0)
        tuntox.send(*program.send(third, b"answer"))
        assert await applications[2].receive(6) == b"answer"
        assert third in program.received

    async def test_as_client(self, pair: ForwardPair, magic: int) -> None:
        program = FakeTuntoxClient(magic)
        tuntox = TuntoxPeer(pair, pair.server_node, program)
        await until(lambda: tuntox.peer.online)
        for forward_id in (1, 2):
            tuntox.send(program.connect("127.0.0.1", pair.target.port, forward_id))
            target = await pair.accept()
            await target.send(NOISE[:7000])
            await until(lambda: NOISE[:7000] in program.received.values())
            [tunnel_id] = program.received
            tuntox.send(program.send(tunnel_id, b"question"))
            assert await target.receive(8) == b"question"
            tuntox.send(program.close(tunnel_id))
            assert await target.receive_all() == b""
        assert not program.invalid

    async def test_as_client_sees_the_end_of_the_target_at_once(self, pair: ForwardPair, magic: int) -> None:
        program = FakeTuntoxClient(magic)
        tuntox = TuntoxPeer(pair, pair.server_node, program)
        await until(lambda: tuntox.peer.online)
        tuntox.send(program.connect("127.0.0.1", pair.target.port))
        target = await pair.accept()
        await target.send(NOISE[:70_000])
        target.close()
        began_s = asyncio.get_running_loop().time()
        await until(lambda: list(program.closed.values()) == [NOISE[:70_000]])
        assert asyncio.get_running_loop().time() - began_s < EOF_IDLE_S / 2
        assert no_streams(pair)

    async def test_as_client_is_not_left_hanging_by_a_refusal(self, pair: ForwardPair, magic: int) -> None:
        program = FakeTuntoxClient(magic)
        tuntox = TuntoxPeer(pair, pair.server_node, program)
        await until(lambda: tuntox.peer.online)
        pair.target.close()
        tuntox.send(program.connect("127.0.0.1", pair.target.port))
        await until(lambda: list(program.closed.values()) == [b""])
        assert not program.invalid
