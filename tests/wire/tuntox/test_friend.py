"""One end of the tuntox road against a friend that does anything, and an owner that makes mistakes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toxvpn.errors import LocalProtocolError
from toxvpn.testing.fake_tuntox import ACK, FIN, PING, REQUEST, TCP, V1, V2, packet
from toxvpn.testing.tunnel_link import writable
from toxvpn.wire.socks5 import ReplyCode
from toxvpn.wire.tuntox.events import (
    Closed,
    Data,
    Event,
    HalfClosed,
    Opened,
    OpenFailed,
    OpenRequested,
    Reset,
    ResetReason,
)
from toxvpn.wire.tuntox.frames import FrameDrop, FrameType
from toxvpn.wire.tuntox.friend import FriendTunnels
from toxvpn.wire.tuntox.open_tunnels import EOF_IDLE_S, MAX_INBOUND_TUNNELS
from toxvpn.wire.tuntox.outbox import MAX_CONTROL_PACKETS, MAX_UNKNOWN_FINS_PER_S

HALF_CLOSE, DENY, CREDIT = 0x0603, 0x0604, 0x0605


def new(*, toxvpn: bool | None = True) -> FriendTunnels:
    tunnels = FriendTunnels(bytes(32), b"\xff" * 32)
    tunnels.connected(0.0)
    if toxvpn is not None:
        tunnels.peer_status(toxvpn, 0.0)
    return tunnels


def events(tunnels: FriendTunnels) -> list[Event]:
    found = []
    while (event := tunnels.next_event()) is not None:
        found.append(event)
    return found


def outgoing(tunnels: FriendTunnels) -> list[bytes]:
    packets = []
    while (raw := tunnels.next_packet()) is not None:
        packets.append(raw)
        tunnels.packet_sent()
    return packets


def silent(tunnels: FriendTunnels) -> bool:
    """Neither an event nor a packet."""
    return not events(tunnels) and not outgoing(tunnels)


def request(port: int = 22) -> bytes:
    return packet(V2, REQUEST, port, b"\0\0\0\7localhost")


def serve(tunnels: FriendTunnels) -> int:
    """A tunnel that the friend opened; its IDs are 2, 4, 6 and so on."""
    tunnels.receive_packet(request(), 0.0)
    [asked] = events(tunnels)
    assert isinstance(asked, OpenRequested)
    tunnels.accept(asked.handle)
    outgoing(tunnels)
    return asked.handle


def dial(tunnels: FriendTunnels, tunnel_id: int) -> int:
    """A tunnel that we opened, to a toxvpn friend."""
    handle = tunnels.open("localhost", 22, 0.0)
    tunnels.receive_packet(packet(V2, ACK, tunnel_id, handle.to_bytes(4, "big")), 0.0)
    assert events(tunnels) == [Opened(handle)]
    outgoing(tunnels)
    return handle


class TestOwnersMistakes:
    def test_a_tunnel_that_is_not_open_takes_no_data(self) -> None:
        tunnels = new()
        for handle in (1, tunnels.open("localhost", 22, 0.0)):
            with pytest.raises(LocalProtocolError, match="not open"):
                tunnels.send(handle, b"x")
            with pytest.raises(LocalProtocolError, match="not open"):
                tunnels.send_eof(handle, 0.0)

    def test_nothing_is_sent_after_the_end(self) -> None:
        tunnels = new()
        handle = serve(tunnels)
        tunnels.send_eof(handle, 0.0)
        assert not writable(tunnels, handle)
        with pytest.raises(LocalProtocolError, match="was ended"):
            tunnels.send(handle, b"x")

    def test_no_more_is_consumed_than_was_received(self) -> None:
        tunnels = new()
        handle = serve(tunnels)
        tunnels.receive_packet(packet(V2, TCP, 2, b"abc"), 0.0)
        tunnels.consumed(handle, 2)
        for size in (2, -1):
            with pytest.raises(LocalProtocolError, match="consumed of 1"):
                tunnels.consumed(handle, size)

    def test_only_a_packet_that_was_handed_out_is_confirmed(self) -> None:
        with pytest.raises(LocalProtocolError, match="no packet"):
            new().packet_sent()

    def test_an_absent_friend_is_not_pinged(self) -> None:
        tunnels = new()
        tunnels.connection_lost()
        with pytest.raises(LocalProtocolError, match="offline"):
            tunnels.ping(0.0)

    @pytest.mark.parametrize(
        ("host", "port"), [("", 22), ("a b", 22), ("\ud800", 22), ("h", 0), ("h", 65536)]
    )
    def test_a_target_that_cannot_be_asked_for_fails_at_once(self, host: str, port: int) -> None:
        tunnels = new()
        handle = tunnels.open(host, port, 0.0)
        [failed] = events(tunnels)
        assert isinstance(failed, OpenFailed)
        assert (failed.handle, failed.reason) == (handle, ReplyCode.GENERAL_FAILURE)
        assert outgoing(tunnels) == []
        assert tunnels.next_timer() is None

    def test_being_late_is_no_mistake(self) -> None:
        tunnels = new()
        handle = serve(tunnels)
        tunnels.reset(handle, 0.0)
        assert outgoing(tunnels) == [packet(V2, FIN, 2)]
        tunnels.reset(handle, 0.0)
        tunnels.consumed(handle, 100)
        assert not writable(tunnels, handle)
        assert not tunnels.accept(handle)
        assert not tunnels.refuse(handle, ReplyCode.GENERAL_FAILURE)
        assert silent(tunnels)


class TestGivingUp:
    def test_a_request_that_waits_is_never_sent(self) -> None:
        tunnels = new(toxvpn=None)
        tunnels.reset(tunnels.open("localhost", 22, 0.0), 0.0)
        tunnels.peer_status(True, 0.0)
        assert [raw[2:4].hex() for raw in outgoing(tunnels)] == ["0108", "0108"]
        assert tunnels.next_timer() is None
        assert events(tunnels) == []

    def test_a_request_of_the_friend_is_refused(self) -> None:
        tunnels = new()
        tunnels.receive_packet(request(), 0.0)
        [asked] = events(tunnels)
        tunnels.reset(asked.handle, 0.0)  # type: ignore[union-attr]
        assert outgoing(tunnels) == [packet(V2, DENY, 22, b"\0\0\0\7\1")]

    def test_a_v1_request_under_way_gives_way_when_the_connection_is_lost(self) -> None:
        tunnels = new(toxvpn=False)
        given_up, waiting = tunnels.open("a", 1, 0.0), tunnels.open("b", 2, 0.0)
        ping = outgoing(tunnels)[1]
        tunnels.receive_packet(packet(V1, 0x0100, 0, ping[8:]), 0.0)
        [asked, _] = outgoing(tunnels)
        assert asked == packet(V1, REQUEST, 1, b"a")
        tunnels.reset(given_up, 0.0)
        tunnels.reset(given_up, 0.0)
        tunnels.connection_lost()
        tunnels.connected(1.0)
        tunnels.peer_status(True, 1.0)
        assert outgoing(tunnels)[2:] == [packet(V2, REQUEST, 2, waiting.to_bytes(4, "big") + b"b")]

    def test_a_v1_request_under_way_is_sent_again_after_a_loss(self) -> None:
        tunnels = new(toxvpn=False)
        handle = tunnels.open("a", 1, 0.0)
        ping = outgoing(tunnels)[1]
        tunnels.receive_packet(packet(V1, 0x0100, 0, ping[8:]), 0.0)
        outgoing(tunnels)
        tunnels.connection_lost()
        tunnels.connected(1.0)
        ping = outgoing(tunnels)[1]
        tunnels.receive_packet(packet(V1, 0x0100, 0, ping[8:]), 1.0)
        assert outgoing(tunnels)[0] == packet(V1, REQUEST, 1, b"a")
        tunnels.receive_packet(packet(V1, ACK, 99), 1.0)
        assert events(tunnels)[-1] == Opened(handle)


class TestUnknownTunnels:
    @pytest.mark.parametrize("magic", [V1, V2])
    @pytest.mark.parametrize("kind", [TCP, HALF_CLOSE])
    def test_is_answered_once_with_fin(self, magic: int, kind: int) -> None:
        tunnels = new(toxvpn=False)
        for _ in range(3):
            tunnels.receive_packet(packet(magic, kind, 0xBEEF), 0.0)
        assert outgoing(tunnels) == [packet(magic, FIN, 0xBEEF)]
        assert tunnels.drops == {FrameDrop.UNKNOWN_TUNNEL: 3}

    @pytest.mark.parametrize(("kind", "payload"), [(FIN, b""), (CREDIT, b"\0\0\0\1")])
    def test_what_ends_or_crosses_the_end_is_not_answered(self, kind: int, payload: bytes) -> None:
        tunnels = new()
        tunnels.receive_packet(packet(V2, kind, 0xBEEF, payload), 0.0)
        assert silent(tunnels)
        assert tunnels.drops == {FrameDrop.UNKNOWN_TUNNEL: 1}

    def test_answers_are_few_per_second(self) -> None:
        tunnels = new()
        for second in (5.0, 5.9, 6.0):
            for tunnel_id in range(100):
                tunnels.receive_packet(packet(V2, TCP, int(second * 1000) + tunnel_id, b"x"), second)
        assert len(outgoing(tunnels)) == 2 * MAX_UNKNOWN_FINS_PER_S

    def test_what_was_answered_is_remembered_to_a_bound(self) -> None:
        tunnels = new()
        for tunnel_id in range(1100):
            tunnels.receive_packet(packet(V2, TCP, tunnel_id, b"x"), float(tunnel_id))
        assert len(outgoing(tunnels)) == 1100 - 76, "the rest waits for the queue"
        tunnels.receive_packet(packet(V2, TCP, 1000, b"x"), 2000.0)
        assert outgoing(tunnels) == []

    def test_an_id_answered_once_can_name_a_tunnel_later(self) -> None:
        tunnels = new()
        for tunnel_id in (2, 3):
            tunnels.receive_packet(packet(V2, TCP, tunnel_id, b"x"), 0.0)
        outgoing(tunnels)
        theirs, ours = serve(tunnels), dial(tunnels, 3)
        for tunnel_id in (2, 3):
            tunnels.receive_packet(packet(V2, TCP, tunnel_id, b"x"), 0.0)
        assert events(tunnels) == [Data(theirs, b"x"), Data(ours, b"x")]
        for tunnel_id in (2, 3):
            tunnels.receive_packet(packet(V2, FIN, tunnel_id), 0.0)
            tunnels.receive_packet(packet(V2, TCP, tunnel_id, b"x"), 0.0)
        assert outgoing(tunnels) == [packet(V2, FIN, 2), packet(V2, FIN, 3)], "unknown anew, so answered anew"

    def test_an_id_belongs_to_its_friend_alone(self) -> None:
        one, other = new(), new()
        serve(one)
        other.receive_packet(packet(V2, TCP, 2, b"x"), 0.0)
        assert events(other) == []
        assert other.drops == {FrameDrop.UNKNOWN_TUNNEL: 1}


class TestBounds:
    def test_tunnels_per_friend(self) -> None:
        tunnels = new()
        for _ in range(MAX_INBOUND_TUNNELS):
            serve(tunnels)
        tunnels.receive_packet(request(), 0.0)
        assert events(tunnels) == []
        assert outgoing(tunnels) == [packet(V2, DENY, 22, b"\0\0\0\7\1too many tunnels at once")]
        assert tunnels.drops == {FrameDrop.TOO_MANY_TUNNELS: 1}
        tunnels.receive_packet(packet(V2, FIN, 2), 0.0)
        events(tunnels)
        serve(tunnels)

    def test_our_own_tunnels_do_not_count(self) -> None:
        tunnels = new()
        for number in range(MAX_INBOUND_TUNNELS):
            dial(tunnels, 2 * number + 1)
        serve(tunnels)

    def test_unanswered_requests_per_friend(self) -> None:
        tunnels = new(toxvpn=False)
        for _ in range(MAX_INBOUND_TUNNELS + 1):
            tunnels.receive_packet(request(), 0.0)
        assert len(events(tunnels)) == MAX_INBOUND_TUNNELS
        assert outgoing(tunnels) == [packet(V2, ACK, 2, b"\0\0\0\7"), packet(V2, FIN, 2)]
        assert tunnels.drops == {FrameDrop.TOO_MANY_TUNNELS: 1}

    def test_a_friend_that_asks_and_does_not_read_is_not_answered_for_ever(self) -> None:
        tunnels = new()
        for _ in range(MAX_CONTROL_PACKETS + 5):
            tunnels.receive_packet(packet(V1, PING, 0, b"Hello"), 0.0)
        tunnels.receive_packet(request(), 0.0)
        tunnels.receive_packet(packet(V2, TCP, 99, b"x"), 0.0)
        assert events(tunnels) == []
        assert len(outgoing(tunnels)) == MAX_CONTROL_PACKETS
        assert tunnels.drops == {FrameDrop.FLOOD: 6, FrameDrop.UNKNOWN_TUNNEL: 1}

    def test_what_was_passed_on_or_belonged_to_a_closed_tunnel_does_not_count(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("toxvpn.wire.tuntox.open_tunnels.MAX_FRIEND_BUFFERED_BYTES", 1000)
        tunnels = new(toxvpn=False)
        handle = serve(tunnels)
        for tunnel_id in range(4, 24, 2):
            serve(tunnels)
            tunnels.receive_packet(packet(V2, TCP, tunnel_id, bytes(500)), 0.0)
            tunnels.receive_packet(packet(V2, FIN, tunnel_id), 0.0)
            tunnels.receive_packet(packet(V2, TCP, 2, bytes(500)), 0.0)
            tunnels.consumed(handle, 500)
            assert not [event for event in events(tunnels) if isinstance(event, Reset)]
        for _ in range(3):
            tunnels.receive_packet(packet(V2, TCP, 2, bytes(500)), 0.0)
        assert events(tunnels)[-1] == Reset(handle, ResetReason.BUFFER_FULL)

    def test_what_was_sent_before_credit_counts_after_it_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("toxvpn.wire.tuntox.open_tunnels.MAX_FRIEND_BUFFERED_BYTES", 1000)
        tunnels = new(toxvpn=False)
        overdrawn, other = serve(tunnels), serve(tunnels)
        tunnels.receive_packet(packet(V2, TCP, 2, bytes(900)), 0.0)
        for tunnel_id in (2, 4):
            tunnels.receive_packet(packet(V2, CREDIT, tunnel_id, bytes(4)), 0.0)
        tunnels.receive_packet(packet(V2, TCP, 4, bytes(101)), 0.0)
        assert events(tunnels)[-1] == Reset(overdrawn, ResetReason.BUFFER_FULL)
        assert writable(tunnels, other)

    def test_ids_are_given_in_turn_and_skip_those_in_use(self) -> None:
        tunnels = new()
        kept = serve(tunnels)
        for _ in range(0x7FFE):
            tunnels.reset(serve(tunnels), 0.0)
            [fin] = outgoing(tunnels)
        assert fin == packet(V2, FIN, 0xFFFE)
        tunnels.reset(serve(tunnels), 0.0)
        assert outgoing(tunnels) == [packet(V2, FIN, 4)]
        assert writable(tunnels, kept)

    def test_the_side_with_the_higher_key_gives_odd_ids(self) -> None:
        tunnels = FriendTunnels(b"\xff" * 32, bytes(32))
        tunnels.connected(0.0)
        for _ in range(0x8000):
            tunnels.reset(serve(tunnels), 0.0)
            [fin] = outgoing(tunnels)
            assert fin[5] % 2 == 1
        assert fin == packet(V2, FIN, 0xFFFF)
        tunnels.reset(serve(tunnels), 0.0)
        assert outgoing(tunnels) == [packet(V2, FIN, 1)]

    def test_many_pings_are_forgotten_one_by_one(self) -> None:
        tunnels = new()
        for _ in range(65):
            tunnels.ping(0.0)
        first, second, *_ = outgoing(tunnels)
        tunnels.receive_packet(packet(V2, 0x0100, 0, first[8:]), 1.0)
        assert events(tunnels) == []
        tunnels.receive_packet(packet(V2, 0x0100, 0, second[8:]), 1.0)
        assert len(events(tunnels)) == 1


class TestBreachesOfTheProtocol:
    def test_data_after_a_half_close_resets_the_tunnel(self) -> None:
        tunnels = new()
        handle = serve(tunnels)
        tunnels.receive_packet(packet(V2, HALF_CLOSE, 2), 0.0)
        tunnels.receive_packet(packet(V2, HALF_CLOSE, 2), 0.0)
        assert events(tunnels) == [HalfClosed(handle)]
        tunnels.receive_packet(packet(V2, TCP, 2, b"more"), 0.0)
        assert events(tunnels) == [Reset(handle, ResetReason.PROTOCOL_ERROR)]
        assert tunnels.drops == {FrameDrop.DATA_AFTER_END: 2}

    def test_a_reset_sender_leaves_the_round(self) -> None:
        tunnels = new()
        gone, stays = serve(tunnels), serve(tunnels)
        tunnels.send(gone, b"gone")
        tunnels.send(stays, b"stays")
        tunnels.receive_packet(packet(V2, FIN, 2), 0.0)
        assert outgoing(tunnels) == [packet(V2, TCP, 4, b"stays")]

    def test_an_empty_data_frame_is_nothing(self) -> None:
        tunnels = new()
        serve(tunnels)
        tunnels.receive_packet(packet(V2, TCP, 2), 0.0)
        assert silent(tunnels)

    @pytest.mark.parametrize(
        ("raw", "reason"),
        [
            (packet(V2, ACK, 9, b"\0\0"), FrameDrop.BAD_PAYLOAD),
            (packet(V2, DENY, 9, b"\0\0\0\1"), FrameDrop.BAD_PAYLOAD),
            (packet(V2, CREDIT, 2, b""), FrameDrop.BAD_PAYLOAD),
            (packet(V2, REQUEST, 22, b"\0"), FrameDrop.BAD_PAYLOAD),
            (packet(V1, REQUEST, 22, b"a\0b"), FrameDrop.BAD_HOST),
            (packet(V2, 0x0999, 2), FrameDrop.UNKNOWN_TYPE),
            (packet(0xA26C, TCP, 2), FrameDrop.UNKNOWN_MAGIC),
            (packet(V2, TCP, 2) + b"x", FrameDrop.LENGTH_MISMATCH),
            (packet(V2, DENY, 9, b"\0\0\0\1\5"), FrameDrop.UNEXPECTED_ANSWER),
            (packet(V1, DENY, 9, b"\0\0\0\1\5"), FrameDrop.UNEXPECTED_ANSWER),
            (packet(V2, ACK, 2, b"\0\0\0\1"), FrameDrop.UNEXPECTED_ANSWER),
        ],
    )
    def test_is_dropped_and_counted(self, raw: bytes, reason: FrameDrop) -> None:
        tunnels = new()
        handle = serve(tunnels)
        tunnels.receive_packet(raw, 0.0)
        assert silent(tunnels)
        assert tunnels.drops == {reason: 1}
        assert writable(tunnels, handle)

    @pytest.mark.parametrize("magic", [V1, V2])
    def test_a_tunnel_nobody_asked_for_is_ended(self, magic: int) -> None:
        tunnels = new()
        raw = packet(magic, ACK, 9, b"\0\0\0\1" if magic == V2 else b"")
        for _ in range(2):
            tunnels.receive_packet(raw, 0.0)
        assert outgoing(tunnels) == [packet(magic, FIN, 9)]
        assert tunnels.drops == {FrameDrop.UNEXPECTED_ANSWER: 2}

    def test_an_id_given_twice_means_the_first_tunnel_is_forgotten(self) -> None:
        tunnels = new()
        first = dial(tunnels, 9)
        tunnels.receive_packet(packet(V2, TCP, 9, b"first"), 0.0)
        second = tunnels.open("localhost", 22, 0.0)
        tunnels.receive_packet(packet(V2, ACK, 9, second.to_bytes(4, "big")), 0.0)
        tunnels.receive_packet(packet(V2, TCP, 9, b"second"), 0.0)
        assert events(tunnels) == [
            Data(first, b"first"),
            Reset(first, ResetReason.PEER_RESET),
            Opened(second),
            Data(second, b"second"),
        ]
        assert tunnels.drops == {FrameDrop.DUPLICATE_TUNNEL: 1}

    def test_an_id_that_we_gave_is_not_taken_back(self) -> None:
        tunnels = new()
        theirs = serve(tunnels)
        ours = tunnels.open("localhost", 22, 0.0)
        tunnels.receive_packet(packet(V2, ACK, 2, ours.to_bytes(4, "big")), 0.0)
        [failed] = events(tunnels)
        assert isinstance(failed, OpenFailed)
        assert failed.handle == ours
        assert writable(tunnels, theirs)
        assert tunnels.drops == {FrameDrop.DUPLICATE_TUNNEL: 1}

    @pytest.mark.parametrize("in_use", [True, False])
    def test_a_late_v1_answer_ends_no_other_tunnel(self, in_use: bool) -> None:
        tunnels = new(toxvpn=False)
        ours = tunnels.open("a", 1, 0.0)
        ping = outgoing(tunnels)[1]
        tunnels.receive_packet(packet(V1, 0x0100, 0, ping[8:]), 0.0)
        outgoing(tunnels)
        events(tunnels)
        handle = serve(tunnels)
        tunnels.reset(ours, 0.0)
        tunnels.receive_packet(packet(V1, ACK, 2 if in_use else 3), 0.0)
        assert outgoing(tunnels) == ([] if in_use else [packet(V1, FIN, 3)])
        assert writable(tunnels, handle)

    def test_a_late_v1_refusal_is_no_event(self) -> None:
        tunnels = new(toxvpn=False)
        ours = tunnels.open("a", 1, 0.0)
        ping = outgoing(tunnels)[1]
        tunnels.receive_packet(packet(V1, 0x0100, 0, ping[8:]), 0.0)
        outgoing(tunnels)
        events(tunnels)
        tunnels.reset(ours, 0.0)
        tunnels.receive_packet(packet(V1, DENY, 1, b"\0\0\0\0\5"), 0.0)
        assert events(tunnels) == []
        assert not tunnels.drops

    def test_a_half_close_from_a_friend_that_has_not_said_what_it_is_is_understood(self) -> None:
        tunnels = new(toxvpn=None)
        handle = serve(tunnels)
        tunnels.send_eof(handle, 0.0)
        assert tunnels.next_timer() == EOF_IDLE_S
        tunnels.receive_packet(packet(V2, HALF_CLOSE, 2), 0.0)
        assert outgoing(tunnels) == [packet(V2, CREDIT, 2, b"\0\x0c\0\0"), packet(V2, HALF_CLOSE, 2)]
        assert events(tunnels) == [HalfClosed(handle), Closed(handle, 0)]
        assert tunnels.next_timer() is None

    def test_what_comes_while_offline_is_dropped(self) -> None:
        tunnels = new()
        tunnels.connection_lost()
        tunnels.receive_packet(request(), 0.0)
        assert silent(tunnels)
        assert tunnels.drops == {FrameDrop.OFFLINE: 1}

    def test_a_friend_that_is_no_toxvpn_any_more_is_asked_for_its_version(self) -> None:
        tunnels = new()
        tunnels.peer_status(False, 0.0)
        tunnels.open("localhost", 22, 0.0)
        assert [raw[:4].hex() for raw in outgoing(tunnels)] == ["a26b0108", "a26a0108"]


frames = st.builds(
    packet,
    st.sampled_from([V1, V2]),
    st.sampled_from([int(frame_type) for frame_type in FrameType]),
    st.integers(0, 12),
    st.sampled_from(
        [b"", b"\0\0\0\1", b"\0\0\0\2", b"\0\0\0\1\5no", b"\0\0\0\1localhost", b"\xff\xff\xff\xff", b"h"]
    )
    | st.binary(max_size=20),
)
noise = st.tuples(frames, st.integers(0, 7), st.integers(0, 255)).map(
    lambda made: made[0][: made[1]] + bytes([made[2]]) + made[0][made[1] + 1 :]
)
deeds = st.sampled_from(
    ["open", "accept", "refuse", "send", "eof", "consume", "reset", "pull", "time", "flap", "ping"]
)


@settings(deadline=None, max_examples=300)
@given(
    st.lists(frames | noise | st.binary(max_size=30) | deeds, max_size=60),
    st.sampled_from([True, False, None]),
)
def test_whatever_a_friend_does_nothing_is_raised_and_every_tunnel_ends_once(
    story: list[bytes | str], toxvpn: bool | None
) -> None:
    tunnels = new(toxvpn=toxvpn)
    now = 0.0
    asking: list[int] = []
    live: dict[int, int] = {}  # unconsumed bytes of open tunnels
    ended: set[int] = set()  # ours ended
    seen: set[int] = set()
    for entry in story:
        now += 0.5
        handle = next(iter(live), 0)
        match entry:
            case bytes():
                tunnels.receive_packet(entry, now)
            case "open":
                tunnels.open("localhost", 22, now)
            case "accept" if asking:
                if tunnels.accept(asking[0]):
                    live[asking[0]] = 0
                del asking[0]
            case "refuse" if asking:
                tunnels.refuse(asking.pop(0), ReplyCode.NOT_ALLOWED)
            case "send" if live and handle not in ended:
                tunnels.send(handle, b"x" * 3000)
            case "eof" if live and handle not in ended:
                tunnels.send_eof(handle, now)
                ended.add(handle)
            case "consume" if live:
                tunnels.consumed(handle, live[handle])
                live[handle] = 0
            case "reset" if live:
                tunnels.reset(handle, now)
                del live[handle]
                seen.add(handle)
            case "pull":
                outgoing(tunnels)
            case "time":
                now = max(now, tunnels.next_timer() or now)
                tunnels.handle_timer(now)
            case "flap":
                tunnels.connection_lost()
                tunnels.connected(now)
            case "ping":
                tunnels.ping(now)
        for event in events(tunnels):
            match event:
                case OpenRequested():
                    asking.append(event.handle)
                case Opened():
                    live[event.handle] = 0
                case Data():
                    live[event.handle] += len(event.data)
                case HalfClosed():
                    assert event.handle in live
                case Closed() | Reset():
                    del live[event.handle]
                    assert event.handle not in seen
                    seen.add(event.handle)
                case OpenFailed():
                    assert event.handle not in seen
                    seen.add(event.handle)
    for handle in live:
        tunnels.consumed(handle, live[handle])
    tunnels.connection_lost()
    assert {event.handle for event in events(tunnels) if isinstance(event, Reset)} == set(live)
