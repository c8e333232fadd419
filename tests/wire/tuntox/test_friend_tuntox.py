"""Conversations with tuntox programs of both versions, as docs/wire-format.md §1 describes them."""

import pytest

from toxvpn.testing.fake_tuntox import V1, V2, FakeTuntoxClient, FakeTuntoxServer, packet
from toxvpn.testing.tunnel_link import writable
from toxvpn.wire.socks5 import ReplyCode
from toxvpn.wire.tuntox.events import (
    Closed,
    Data,
    Event,
    Opened,
    OpenFailed,
    OpenRequested,
    Pong,
    Reset,
    ResetReason,
)
from toxvpn.wire.tuntox.frames import FrameDrop
from toxvpn.wire.tuntox.friend import FriendTunnels
from toxvpn.wire.tuntox.open_tunnels import EOF_IDLE_S, MAX_BUFFERED_BYTES, MAX_FRIEND_BUFFERED_BYTES
from toxvpn.wire.tuntox.pings import PROBE_RETRY_S
from toxvpn.wire.tuntox.requests import REQUEST_TIMEOUT_S, WAITING_TIMEOUT_S

LOW, HIGH = bytes(32), bytes(31) + b"\1"
SSH = ("localhost", 22)


def new(*, status: bool = True) -> FriendTunnels:
    """Connected at time 0 to a friend that is no toxvpn."""
    tunnels = FriendTunnels(LOW, HIGH)
    tunnels.connected(0.0)
    if status:
        tunnels.peer_status(False, 0.0)
    return tunnels


def events(tunnels: FriendTunnels, *, pongs: bool = False) -> list[Event]:
    found = []
    while (event := tunnels.next_event()) is not None:
        if pongs or not isinstance(event, Pong):
            found.append(event)
    return found


def outgoing(tunnels: FriendTunnels) -> list[bytes]:
    packets = []
    while (raw := tunnels.next_packet()) is not None:
        packets.append(raw)
        tunnels.packet_sent()
    return packets


def exchange(tunnels: FriendTunnels, server: FakeTuntoxServer, now: float = 0.0) -> None:
    """Until both are silent."""
    while packets := outgoing(tunnels):
        for raw in packets:
            for answer in server.receive(raw):
                tunnels.receive_packet(answer, now)


def opened(tunnels: FriendTunnels, server: FakeTuntoxServer) -> int:
    handle = tunnels.open(*SSH, 0.0)
    exchange(tunnels, server)
    assert events(tunnels) == [Opened(handle)]
    return handle


@pytest.mark.parametrize("magic", [V1, V2])
class TestAsClient:
    def test_the_version_is_learned_and_a_tunnel_carries_bytes_both_ways(self, magic: int) -> None:
        tunnels, server = new(), FakeTuntoxServer(magic, SSH)
        before = tunnels.version
        handle = opened(tunnels, server)
        assert before is None
        assert tunnels.version == magic
        assert server.requested == [SSH]
        assert len(server.invalid) == 1, "only the PING in the other version"
        tunnels.send(handle, b"x" * 3000)
        exchange(tunnels, server)
        assert server.received == {0x7001: b"x" * 3000}
        for raw in server.send(0x7001, b"SSH-2.0"):
            tunnels.receive_packet(raw, 0.0)
        assert events(tunnels) == [Data(handle, b"SSH-2.0")]
        tunnels.consumed(handle, 7)
        assert outgoing(tunnels) == [], "nothing that tuntox does not know"

    def test_without_a_status_message_it_works_as_well(self, magic: int) -> None:
        tunnels, server = new(status=False), FakeTuntoxServer(magic, SSH)
        opened(tunnels, server)
        assert tunnels.version == magic

    def test_golden_packets(self, magic: int) -> None:
        tunnels, server = new(), FakeTuntoxServer(magic, SSH)
        tunnels.open(*SSH, 0.0)
        pings = outgoing(tunnels)
        assert [raw[:6].hex() for raw in pings] == ["a26b01080000", "a26a01080000"]
        for raw in pings:
            for answer in server.receive(raw):
                tunnels.receive_packet(answer, 0.0)
        request = outgoing(tunnels)[0].hex()
        assert request in {
            "a26a0602001600096c6f63616c686f7374",
            "a26b06020016000d000000016c6f63616c686f7374",
        }
        forward_id = "00000001" if magic == V2 else ""
        ack = f"{magic:x}06107001000{len(forward_id) // 2}{forward_id}"
        tunnels.receive_packet(bytes.fromhex(ack), 0.0)
        assert events(tunnels) == [Opened(1)]
        tunnels.send(1, b"hi")
        assert outgoing(tunnels) == [bytes.fromhex(f"{magic:x}0600700100026869")]
        tunnels.reset(1, 0.0)
        assert outgoing(tunnels) == [bytes.fromhex(f"{magic:x}060170010000")]

    def test_a_silent_refusal_is_given_up_after_15_s(self, magic: int) -> None:
        tunnels, server = new(), FakeTuntoxServer(magic)
        handle = tunnels.open("localhost", 1, 0.0)
        exchange(tunnels, server)
        assert tunnels.next_timer() == REQUEST_TIMEOUT_S == 15.0
        tunnels.handle_timer(14.9)
        assert events(tunnels) == []
        tunnels.handle_timer(15.0)
        [failed] = events(tunnels)
        assert isinstance(failed, OpenFailed)
        assert (failed.handle, failed.reason) == (handle, ReplyCode.TIMED_OUT)
        assert tunnels.next_timer() is None

    def test_an_ack_followed_by_fin_opens_and_closes(self, magic: int) -> None:
        tunnels, server = new(), FakeTuntoxServer(magic, SSH)
        handle = opened(tunnels, server)
        tunnels.receive_packet(server.close(0x7001)[0], 0.0)
        assert events(tunnels) == [Closed(handle, 0)]
        assert outgoing(tunnels) == []

    def test_fin_closes_both_directions_and_tells_what_was_not_sent(self, magic: int) -> None:
        tunnels, server = new(), FakeTuntoxServer(magic, SSH)
        handle = opened(tunnels, server)
        tunnels.send(handle, b"late")
        for raw in [*server.send(0x7001, b"bye"), *server.close(0x7001)]:
            tunnels.receive_packet(raw, 0.0)
        assert events(tunnels) == [Data(handle, b"bye"), Closed(handle, 4)]
        assert outgoing(tunnels) == []
        assert not writable(tunnels, handle)
        tunnels.consumed(handle, 3)

    def test_the_answer_to_a_request_that_ends_with_eof_is_not_lost(self, magic: int) -> None:
        tunnels, server = new(), FakeTuntoxServer(magic, SSH)
        handle = opened(tunnels, server)
        tunnels.send(handle, b"question")
        tunnels.send_eof(handle, 1.0)
        exchange(tunnels, server)
        assert server.received == {0x7001: b"question"}
        tunnels.handle_timer(1.0 + EOF_IDLE_S - 0.1)
        tunnels.receive_packet(server.send(0x7001, b"answer")[0], 1.0 + EOF_IDLE_S - 0.1)
        tunnels.handle_timer(1.0 + EOF_IDLE_S)
        assert events(tunnels) == [Data(handle, b"answer")], "the answer has put the end off"
        tunnels.receive_packet(server.close(0x7001)[0], 12.0)
        assert events(tunnels) == [Closed(handle, 0)]
        assert tunnels.next_timer() is None

    def test_after_eof_an_idle_tunnel_is_closed_once_all_is_sent(self, magic: int) -> None:
        tunnels, server = new(), FakeTuntoxServer(magic, SSH)
        handle = opened(tunnels, server)
        tunnels.send(handle, b"question")
        tunnels.send_eof(handle, 0.0)
        assert tunnels.next_timer() == EOF_IDLE_S
        tunnels.handle_timer(EOF_IDLE_S)
        assert tunnels.next_timer() == 2 * EOF_IDLE_S, "not idle: the road had no room"
        exchange(tunnels, server)
        tunnels.handle_timer(2 * EOF_IDLE_S)
        assert events(tunnels) == [Closed(handle, 0)]
        exchange(tunnels, server)
        assert server.closed == {0x7001: b"question"}

    def test_a_slow_local_side_breaks_its_own_tunnel_alone(self, magic: int) -> None:
        tunnels, server = new(), FakeTuntoxServer(magic, SSH)
        slow, quick = opened(tunnels, server), opened(tunnels, server)
        for raw in server.send(0x7001, bytes(MAX_BUFFERED_BYTES)):
            tunnels.receive_packet(raw, 0.0)
        assert all(isinstance(event, Data) for event in events(tunnels))
        tunnels.receive_packet(server.send(0x7001, b"!")[0], 0.0)
        assert events(tunnels)[-1] == Reset(slow, ResetReason.BUFFER_FULL)
        assert tunnels.drops == {FrameDrop.BUFFER_FULL: 1}
        for raw in server.send(0x7002, bytes(MAX_BUFFERED_BYTES)):
            tunnels.receive_packet(raw, 0.0)
            for event in events(tunnels):
                assert isinstance(event, Data)
                tunnels.consumed(quick, len(event.data))
        exchange(tunnels, server)
        assert list(server.closed) == [0x7001]

    def test_all_tunnels_together_have_a_bound_and_the_fullest_goes(self, magic: int) -> None:
        tunnels, server = new(), FakeTuntoxServer(magic, SSH)
        handles = [opened(tunnels, server) for _ in range(25)]
        for tunnel_id in list(server.received)[:-1]:
            for raw in server.send(tunnel_id, bytes(MAX_BUFFERED_BYTES - (tunnel_id != 0x7003))):
                tunnels.receive_packet(raw, 0.0)
        for raw in server.send(0x7019, bytes(24)):
            tunnels.receive_packet(raw, 0.0)
        resets = [event for event in events(tunnels) if isinstance(event, Reset)]
        assert resets == [Reset(handles[2], ResetReason.BUFFER_FULL)]
        assert 24 * MAX_BUFFERED_BYTES == MAX_FRIEND_BUFFERED_BYTES

    def test_a_reset_request_that_is_answered_late_is_ended_for_the_server_too(self, magic: int) -> None:
        tunnels, server = new(), FakeTuntoxServer(magic, SSH)
        handle = tunnels.open(*SSH, 0.0)
        pings = outgoing(tunnels)
        for raw in pings:
            for answer in server.receive(raw):
                tunnels.receive_packet(answer, 0.0)
        answers = [answer for raw in outgoing(tunnels) for answer in server.receive(raw)]
        tunnels.reset(handle, 0.0)
        for answer in answers:
            tunnels.receive_packet(answer, 0.0)
        exchange(tunnels, server)
        assert server.closed == {0x7001: b""}
        assert events(tunnels) == []


class TestAsV1Client:
    def test_one_request_is_under_way_and_the_others_wait(self) -> None:
        tunnels, server = new(), FakeTuntoxServer(V1, SSH, ("localhost", 80))
        first, second, third = (
            tunnels.open(*SSH, 0.0),
            tunnels.open("localhost", 80, 0.0),
            tunnels.open(*SSH, 0.0),
        )
        [v2_ping, v1_ping] = outgoing(tunnels)
        assert server.receive(v2_ping) == []
        tunnels.receive_packet(server.receive(v1_ping)[0], 0.0)
        in_flight = outgoing(tunnels)
        assert [raw[2:4].hex() for raw in in_flight] == ["0602", "0108"], "the request and its barrier"
        assert events(tunnels) == []
        for raw in in_flight:
            for answer in server.receive(raw):
                tunnels.receive_packet(answer, 0.0)
        exchange(tunnels, server)
        assert server.requested == [SSH, ("localhost", 80), SSH]
        assert events(tunnels) == [Opened(first), Opened(second), Opened(third)]
        tunnels.send(second, b"GET")
        exchange(tunnels, server)
        assert server.received == {0x7001: b"", 0x7002: b"GET", 0x7003: b""}

    def test_a_refused_request_lets_the_next_pass_after_15_s(self) -> None:
        tunnels, server = new(), FakeTuntoxServer(V1, SSH)
        refused, waiting = tunnels.open("localhost", 1, 0.0), tunnels.open(*SSH, 0.0)
        exchange(tunnels, server)
        tunnels.handle_timer(15.0)
        exchange(tunnels, server, 15.0)
        failed, success = events(tunnels)
        assert isinstance(failed, OpenFailed)
        assert failed.handle == refused
        assert success == Opened(waiting)

    def test_a_late_answer_is_never_taken_for_the_next_requests(self) -> None:
        """A tuntox server dials while everything else waits: the answer may come after we gave up."""
        tunnels, server = new(), FakeTuntoxServer(V1, SSH, ("localhost", 80))
        late, waiting = tunnels.open(*SSH, 0.0), tunnels.open("localhost", 80, 0.0)
        for raw in outgoing(tunnels):
            for answer in server.receive(raw):
                tunnels.receive_packet(answer, 0.0)
        stuck = outgoing(tunnels)
        tunnels.handle_timer(15.0)
        [failed] = events(tunnels)
        assert isinstance(failed, OpenFailed)
        assert failed.handle == late
        assert outgoing(tunnels) == [], "the next one must wait for the answer"
        for raw in stuck:
            for answer in server.receive(raw):
                tunnels.receive_packet(answer, 20.0)
        exchange(tunnels, server, 20.0)
        assert server.closed == {0x7001: b""}, "the late tunnel is ended"
        assert server.received == {0x7002: b""}
        assert events(tunnels) == [Opened(waiting)]

    def test_a_request_given_up_and_never_answered_frees_the_way_at_its_barrier(self) -> None:
        tunnels, server = new(), FakeTuntoxServer(V1, SSH)
        refused, waiting = tunnels.open("localhost", 1, 0.0), tunnels.open(*SSH, 0.0)
        for raw in outgoing(tunnels):
            for answer in server.receive(raw):
                tunnels.receive_packet(answer, 0.0)
        stuck = outgoing(tunnels)
        tunnels.reset(refused, 1.0)
        assert outgoing(tunnels) == []
        for raw in stuck:
            for answer in server.receive(raw):
                tunnels.receive_packet(answer, 2.0)
        exchange(tunnels, server, 2.0)
        assert events(tunnels) == [Opened(waiting)]

    def test_behind_a_server_that_never_answers_the_others_give_up_too(self) -> None:
        tunnels, server = new(), FakeTuntoxServer(V1, SSH)
        for _ in range(2):
            tunnels.open(*SSH, 0.0)
        for raw in outgoing(tunnels):
            for answer in server.receive(raw):
                tunnels.receive_packet(answer, 0.0)
        outgoing(tunnels)  # the server is stuck
        tunnels.handle_timer(15.0)
        assert tunnels.next_timer() == WAITING_TIMEOUT_S
        tunnels.handle_timer(WAITING_TIMEOUT_S)
        [first, second] = events(tunnels)
        assert isinstance(first, OpenFailed)
        assert isinstance(second, OpenFailed)
        assert "earlier request" in second.text
        assert tunnels.next_timer() is None


class TestVersionDetection:
    def test_pings_are_repeated_until_one_is_answered_or_nobody_asks(self) -> None:
        tunnels = new()
        handle = tunnels.open(*SSH, 0.0)
        assert len(outgoing(tunnels)) == 2
        assert tunnels.next_timer() == PROBE_RETRY_S
        tunnels.handle_timer(PROBE_RETRY_S - 1)
        assert outgoing(tunnels) == []
        tunnels.handle_timer(PROBE_RETRY_S)
        assert len(outgoing(tunnels)) == 2
        tunnels.handle_timer(WAITING_TIMEOUT_S)
        outgoing(tunnels)
        [failed] = events(tunnels)
        assert isinstance(failed, OpenFailed)
        assert (failed.handle, failed.reason) == (handle, ReplyCode.TIMED_OUT)
        assert "does not answer" in failed.text
        assert tunnels.next_timer() is None

    def test_a_round_trip_is_timed(self) -> None:
        tunnels, server = new(), FakeTuntoxServer(V1)
        sequence = tunnels.ping(1.0)
        exchange(tunnels, server, 1.25)
        [pong] = events(tunnels, pongs=True)
        assert isinstance(pong, Pong)
        assert (pong.sequence, pong.rtt_s, pong.version) == (sequence, 0.25, V1)
        tunnels.ping(2.0)
        assert [raw[:2].hex() for raw in outgoing(tunnels)] == ["a26a"]

    def test_a_pong_that_answers_nothing_is_counted(self) -> None:
        tunnels = new()
        tunnels.receive_packet(packet(V1, 0x0100, 0, b"Hello"), 0.0)
        assert events(tunnels, pongs=True) == []
        assert tunnels.version is None
        assert tunnels.drops == {FrameDrop.UNKNOWN_PONG: 1}


def asked(tunnels: FriendTunnels, client: FakeTuntoxClient, forward_id: int = 0) -> int:
    tunnels.receive_packet(client.connect(*SSH, forward_id), 0.0)
    [event] = events(tunnels)
    assert isinstance(event, OpenRequested)
    assert (event.host, event.port) == SSH
    return event.handle


def deliver(tunnels: FriendTunnels, client: FakeTuntoxClient) -> None:
    for raw in outgoing(tunnels):
        client.receive(raw)
    assert client.invalid == []


@pytest.mark.parametrize("status", [True, False])
@pytest.mark.parametrize("magic", [V1, V2])
class TestAsServer:
    def test_a_ping_is_answered_in_its_own_version(self, magic: int, status: bool) -> None:
        tunnels, client = new(status=status), FakeTuntoxClient(magic)
        tunnels.receive_packet(client.ping(), 0.0)
        deliver(tunnels, client)
        assert client.pongs == [b"Hello"]

    def test_a_tunnel_carries_bytes_both_ways_until_the_client_closes(self, magic: int, status: bool) -> None:
        tunnels, client = new(status=status), FakeTuntoxClient(magic)
        handle = asked(tunnels, client, 0xCAFE)
        assert outgoing(tunnels) == []
        assert tunnels.accept(handle)
        tunnels.send(handle, b"SSH-2.0")
        deliver(tunnels, client)
        [tunnel_id] = client.received
        assert client.received[tunnel_id] == b"SSH-2.0"
        tunnels.receive_packet(client.send(tunnel_id, b"hello"), 0.0)
        tunnels.receive_packet(client.close(tunnel_id), 0.0)
        assert events(tunnels) == [Data(handle, b"hello"), Closed(handle, 0)]
        assert outgoing(tunnels) == []

    def test_a_refused_client_does_not_hang(self, magic: int, status: bool) -> None:
        tunnels, client = new(status=status), FakeTuntoxClient(magic)
        assert tunnels.refuse(asked(tunnels, client), ReplyCode.NOT_ALLOWED, "no")
        deliver(tunnels, client)
        assert list(client.closed.values()) == [b""]
        [tunnel_id] = client.closed
        tunnels.receive_packet(packet(magic, 0x0600, tunnel_id, b"already on its way"), 0.0)
        assert outgoing(tunnels) == [], "the FIN is on its way too"
        assert events(tunnels) == []

    def test_the_target_ends_its_stream_and_so_does_the_tunnel(self, magic: int, status: bool) -> None:
        tunnels, client = new(status=status), FakeTuntoxClient(magic)
        handle = asked(tunnels, client)
        tunnels.accept(handle)
        tunnels.send(handle, b"all of it" * 1000)
        tunnels.send_eof(handle, 0.0)
        assert events(tunnels) == [], "the road has not taken it yet"
        deliver(tunnels, client)
        if not status:  # it may be a toxvpn, which can go on sending
            assert client.closed == {}
            tunnels.peer_status(False, 1.0)
            deliver(tunnels, client)
        assert list(client.closed.values()) == [b"all of it" * 1000]
        assert events(tunnels) == [Closed(handle, 0)]
        assert tunnels.next_timer() is None

    def test_a_target_that_says_nothing_ends_the_tunnel_too(self, magic: int, status: bool) -> None:
        tunnels, client = new(status=status), FakeTuntoxClient(magic)
        handle = asked(tunnels, client)
        tunnels.accept(handle)
        tunnels.send_eof(handle, 0.0)
        tunnels.handle_timer(0.0 if status else EOF_IDLE_S)
        deliver(tunnels, client)
        assert list(client.closed.values()) == [b""]
        assert events(tunnels) == [Closed(handle, 0)]

    def test_golden_packets(self, magic: int, status: bool) -> None:
        tunnels, client = new(status=status), FakeTuntoxClient(magic)
        forward_id = "0000cafe" if magic == V2 else ""
        ack = f"{magic:x}0610{{:04x}}000{len(forward_id) // 2}{forward_id}"
        tunnels.accept(asked(tunnels, client, 0xCAFE))
        assert outgoing(tunnels) == [bytes.fromhex(ack.format(2))]
        tunnels.refuse(asked(tunnels, client, 0xCAFE), ReplyCode.CONNECTION_REFUSED)
        assert outgoing(tunnels) == [bytes.fromhex(ack.format(4)), bytes.fromhex(f"{magic:x}060100040000")]


def test_a_client_that_heeds_only_the_first_ack_still_gets_its_first_connection() -> None:
    tunnels, client = new(), FakeTuntoxClient(V2)
    first = asked(tunnels, client, 7)
    second = asked(tunnels, client, 7)
    tunnels.accept(first)
    tunnels.accept(second)
    tunnels.send(first, b"works")
    tunnels.send(second, b"is not heard")
    for raw in outgoing(tunnels):
        client.receive(raw)
    assert list(client.received.values()) == [b"works"]
    assert len(client.invalid) == 2


def test_a_friend_may_be_client_and_server_and_of_both_versions_at_once() -> None:
    tunnels, server, client = new(), FakeTuntoxServer(V1, SSH), FakeTuntoxClient(V2)
    ours = opened(tunnels, server)
    theirs = asked(tunnels, client, 1)
    tunnels.accept(theirs)
    deliver(tunnels, client)
    tunnels.send(ours, b"to the server")
    exchange(tunnels, server)
    tunnels.send(theirs, b"to the client")
    deliver(tunnels, client)
    assert list(server.received.values()) == [b"to the server"]
    assert list(client.received.values()) == [b"to the client"]
