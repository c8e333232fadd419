"""Two toxvpn on the tuntox road: flow control, half-close, refusals, loss of the connection."""

import random
from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toxvpn.testing.tunnel_link import Side, TunnelLink, writable
from toxvpn.wire.socks5 import ReplyCode
from toxvpn.wire.tuntox.events import (
    Closed,
    Data,
    Event,
    HalfClosed,
    Opened,
    OpenFailed,
    OpenRequested,
    Pong,
    RequestCancelled,
    Reset,
    ResetReason,
    Writable,
)
from toxvpn.wire.tuntox.frames import FrameDrop, Version
from toxvpn.wire.tuntox.open_tunnels import EOF_IDLE_S, MAX_FRIEND_BUFFERED_BYTES, MAX_INBOUND_TUNNELS
from toxvpn.wire.tuntox.requests import REQUEST_TIMEOUT_S, WAITING_TIMEOUT_S
from toxvpn.wire.tuntox.tunnel import HIGH_WATER_BYTES, INITIAL_WINDOW_BYTES, LOW_WATER_BYTES, WINDOW_BYTES

NOISE = random.Random(1).randbytes(1 << 20)


def received(side: Side, handle: int) -> bytes:
    """The bytes that came for one tunnel; those of others are kept."""
    side.collect()
    mine = [event for event in side.events if isinstance(event, Data) and event.handle == handle]
    side.events = [event for event in side.events if event not in mine]
    return b"".join(event.data for event in mine)


def arrived(side: Side) -> dict[int, int]:
    """How many bytes came for each tunnel since the last time; other events must not have come."""
    side.collect()
    found: Counter[int] = Counter()
    for event in side.events:
        assert isinstance(event, Data)
        found[event.handle] += len(event.data)
    side.events.clear()
    return dict(found)


def fill(link: TunnelLink, sender: Side, handle: int) -> int:
    """Sends until asked to pause and nothing moves; how many bytes were taken."""
    total = 0
    while writable(sender.tunnels, handle):
        sender.tunnels.send(handle, bytes(16384))
        total += 16384
        link.settle()
    return total


class TestOpening:
    def test_toxvpn_peers_speak_v2_without_asking(self) -> None:
        link = TunnelLink()
        assert link.a.tunnels.version is Version.V2
        link.open(link.a)
        assert link.a.take(Pong) == []
        assert not link.a.tunnels.drops
        assert not link.b.tunnels.drops

    def test_without_status_messages_they_find_to_v2_and_lose_nothing(self) -> None:
        link = TunnelLink(toxvpn=False)
        a, b = link.open(link.a)
        assert link.a.tunnels.version is Version.V2
        link.a.tunnels.send(a, NOISE)
        link.settle()
        assert received(link.b, b) == NOISE

    def test_many_requests_are_under_way_and_answered_in_any_order(self) -> None:
        link = TunnelLink()
        handles = [link.a.tunnels.open("localhost", port, 0.0) for port in (1, 2, 3)]
        link.settle()
        requests = link.b.take(OpenRequested)
        assert [request.port for request in requests] == [1, 2, 3]
        for request in reversed(requests):
            link.b.tunnels.accept(request.handle)
        link.settle()
        assert link.a.take(Opened) == [Opened(handle) for handle in reversed(handles)]

    def test_a_refusal_brings_its_reason(self) -> None:
        link = TunnelLink()
        handle = link.a.tunnels.open("localhost", 22, 0.0)
        link.settle()
        [request] = link.b.take(OpenRequested)
        assert link.b.tunnels.refuse(request.handle, ReplyCode.CONNECTION_REFUSED, "no sshd here")
        link.settle()
        assert link.a.events == [OpenFailed(handle, ReplyCode.CONNECTION_REFUSED, "no sshd here")]
        assert link.a.tunnels.next_timer() is None
        assert not link.b.tunnels.refuse(request.handle, ReplyCode.CONNECTION_REFUSED)
        assert not link.b.tunnels.accept(request.handle)

    def test_a_refusal_by_a_server_that_does_not_know_us_yet_opens_and_closes(self) -> None:
        link = TunnelLink(toxvpn=False)
        link.a.tunnels.peer_status(True, 0.0)
        handle = link.a.tunnels.open("localhost", 22, 0.0)
        link.settle()
        link.b.tunnels.refuse(link.b.take(OpenRequested)[0].handle, ReplyCode.NOT_ALLOWED)
        link.settle()
        assert link.a.events == [Opened(handle), Closed(handle, 0)]

    def test_a_request_that_is_given_up_is_ended_when_its_answer_comes(self) -> None:
        link = TunnelLink()
        handle = link.a.tunnels.open("localhost", 22, 0.0)
        link.settle()
        link.advance(REQUEST_TIMEOUT_S)
        assert [type(event) for event in link.a.events] == [OpenFailed]
        link.a.events.clear()
        link.a.tunnels.reset(handle, link.now)
        [request] = link.b.take(OpenRequested)
        link.b.tunnels.accept(request.handle)
        link.settle()
        assert link.a.events == []
        assert link.b.events == [Closed(request.handle, 0)]

    def test_tunnels_opened_by_both_at_once_never_share_an_id(self) -> None:
        link = TunnelLink()
        for _ in range(20):
            for side in (link.a, link.b):
                side.tunnels.open("localhost", 22, 0.0)
        link.settle()
        pairs = []
        for client in (link.a, link.b):
            server = link.other(client)
            requests = server.take(OpenRequested)
            for request in requests:
                server.tunnels.accept(request.handle)
            link.settle()
            opened = client.take(Opened)
            pairs += [
                (client, one.handle, server, two.handle) for one, two in zip(opened, requests, strict=True)
            ]
        for number, (client, one, server, two) in enumerate(pairs):
            client.tunnels.send(one, b"ping %d" % number)
            server.tunnels.send(two, b"pong %d" % number)
        link.settle()
        for number, (client, one, server, two) in enumerate(pairs):
            assert received(client, one) == b"pong %d" % number
            assert received(server, two) == b"ping %d" % number


class TestHalfClose:
    def test_one_direction_ends_and_the_other_goes_on(self) -> None:
        link = TunnelLink()
        a, b = link.open(link.a)
        link.a.tunnels.send(a, b"question")
        link.a.tunnels.send_eof(a, link.now)
        link.settle()
        assert link.b.events == [Data(b, b"question"), HalfClosed(b)]
        assert link.a.events == []
        link.advance(10 * EOF_IDLE_S)
        link.b.tunnels.send(b, b"answer")
        link.b.tunnels.send_eof(b, link.now)
        link.settle()
        assert link.a.events == [Data(a, b"answer"), HalfClosed(a), Closed(a, 0)]
        assert link.b.events[2:] == [Closed(b, 0)]
        link.b.tunnels.consumed(b, 8)
        link.settle()
        assert not link.a.tunnels.drops

    def test_the_end_waits_for_the_last_byte_and_for_credit(self) -> None:
        link = TunnelLink()
        a, b = link.open(link.a)
        link.a.tunnels.send(a, bytes(WINDOW_BYTES) + b"tail")
        link.a.tunnels.send_eof(a, link.now)
        link.settle()
        assert received(link.b, b) == bytes(WINDOW_BYTES)
        assert link.b.take(HalfClosed) == []
        link.b.tunnels.consumed(b, WINDOW_BYTES)
        link.settle()
        assert received(link.b, b) == b"tail"
        assert link.b.take(HalfClosed) == [HalfClosed(b)]

    def test_a_reset_is_told_apart_from_an_end(self) -> None:
        link = TunnelLink()
        a, b = link.open(link.a)
        link.a.tunnels.send(a, b"lost")
        link.a.tunnels.reset(a, link.now)
        link.settle()
        assert link.b.events == [Reset(b, ResetReason.PEER_RESET)]
        assert link.a.events == []

    def test_data_that_crosses_a_reset_is_dropped_without_an_answer(self) -> None:
        link = TunnelLink()
        a, b = link.open(link.a)
        link.b.tunnels.send(b, b"crossing" * 1000)
        link.send(link.b)
        link.a.tunnels.reset(a, link.now)
        link.arrive(link.a)
        assert link.send(link.a) == 1
        link.settle()
        assert link.b.events == [Reset(b, ResetReason.PEER_RESET)]
        assert link.a.tunnels.drops == {FrameDrop.UNKNOWN_TUNNEL: 6}

    def test_a_status_message_that_comes_late_turns_a_waiting_end_into_a_half_close(self) -> None:
        link = TunnelLink(toxvpn=False)
        a, b = link.open(link.a)
        link.a.tunnels.send_eof(a, link.now)
        link.settle()
        assert link.a.tunnels.next_timer() == EOF_IDLE_S
        link.a.tunnels.peer_status(True, link.now)
        link.settle()
        assert link.a.tunnels.next_timer() is None
        assert link.b.take(HalfClosed) == [HalfClosed(b)]


class TestFlowControl:
    def test_a_slow_reader_stalls_its_own_sender_and_nobody_else(self) -> None:
        link = TunnelLink()
        slow_a, slow_b = link.open(link.a)
        quick_a, quick_b = link.open(link.a)
        taken = fill(link, link.a, slow_a)
        assert WINDOW_BYTES + HIGH_WATER_BYTES <= taken <= WINDOW_BYTES + HIGH_WATER_BYTES + 16384
        assert len(received(link.b, slow_b)) == WINDOW_BYTES
        for _ in range(100):
            link.a.tunnels.send(quick_a, NOISE[:65536])
            link.settle()
            assert received(link.b, quick_b) == NOISE[:65536]
            link.b.tunnels.consumed(quick_b, 65536)
        assert link.a.take(Writable) == []
        link.b.tunnels.consumed(slow_b, WINDOW_BYTES)
        link.settle()
        assert len(received(link.b, slow_b)) == taken - WINDOW_BYTES
        assert link.a.take(Writable) == [Writable(slow_a)]
        assert writable(link.a.tunnels, slow_a)

    def test_credit_is_granted_by_half_windows(self) -> None:
        link = TunnelLink()
        a, b = link.open(link.a)
        link.a.tunnels.send(a, bytes(WINDOW_BYTES))
        link.settle()
        link.b.tunnels.consumed(b, WINDOW_BYTES // 2 - 1)
        assert link.b.tunnels.next_packet() is None
        link.b.tunnels.consumed(b, 1)
        packet = link.b.tunnels.next_packet()
        assert packet is not None
        assert packet.hex() == "a26b0605000100040008" + "0000"

    def test_before_the_first_grant_only_the_initial_window_is_sent(self) -> None:
        link = TunnelLink()
        handle = link.a.tunnels.open("localhost", 22, 0.0)
        link.settle()
        [request] = link.b.take(OpenRequested)
        link.b.tunnels.accept(request.handle)
        link.b.tunnels.send(request.handle, bytes(2 * WINDOW_BYTES))
        link.send(link.b)
        link.arrive(link.a)
        assert len(received(link.a, handle)) == INITIAL_WINDOW_BYTES
        link.settle()
        assert len(received(link.a, handle)) == WINDOW_BYTES - INITIAL_WINDOW_BYTES

    def test_a_sender_that_did_not_know_of_credit_is_forgiven_what_it_sent_before(self) -> None:
        link = TunnelLink(toxvpn=False)
        a, b = link.open(link.a)
        link.b.tunnels.send(b, bytes(3 * WINDOW_BYTES))
        link.send(link.b)
        link.a.tunnels.peer_status(True, link.now)
        link.settle()
        link.b.tunnels.send(b, b"more")
        link.settle()
        assert len(received(link.a, a)) == 3 * WINDOW_BYTES
        link.a.tunnels.consumed(a, 3 * WINDOW_BYTES)
        link.settle()
        assert received(link.a, a) == b"more"
        assert link.a.take(Reset) == []

    def test_many_streams_that_nobody_reads_have_a_bound_and_go_on_when_they_are_read(self) -> None:
        link = TunnelLink()
        streams = [link.open(link.a) for _ in range(MAX_INBOUND_TUNNELS)]
        for a, _ in streams:
            link.a.tunnels.send(a, bytes(WINDOW_BYTES))
        link.settle()
        unread = arrived(link.b)
        assert sum(unread.values()) == MAX_FRIEND_BUFFERED_BYTES
        assert max(unread.values()) == WINDOW_BYTES
        assert min(unread.values()) == INITIAL_WINDOW_BYTES
        _, quick = streams[-1]
        link.b.tunnels.consumed(quick, unread.pop(quick))
        link.settle()
        assert arrived(link.b) == {quick: INITIAL_WINDOW_BYTES}, "it goes on while the others hold all"
        unread[quick] = INITIAL_WINDOW_BYTES
        while unread:
            for handle, count in unread.items():
                link.b.tunnels.consumed(handle, count)
            link.settle()
            unread = arrived(link.b)
        for a, _ in streams:
            link.a.tunnels.send(a, bytes(INITIAL_WINDOW_BYTES // 2))
        link.settle()
        assert arrived(link.b) == dict.fromkeys((b for _, b in streams), INITIAL_WINDOW_BYTES // 2)
        assert not link.b.tunnels.drops

    def test_a_peer_that_overdraws_its_credit_is_reset(self) -> None:
        link = TunnelLink()
        a, b = link.open(link.a)
        link.a.tunnels.send(a, bytes(WINDOW_BYTES))
        link.settle()
        link.b.events.clear()
        link.b.tunnels.receive_packet(bytes.fromhex("a26b06000001000121"), 0.0)
        link.settle()
        assert link.b.events == [Reset(b, ResetReason.PROTOCOL_ERROR)]
        assert link.b.tunnels.drops == {FrameDrop.CREDIT_EXCEEDED: 1}
        assert link.a.take(Reset) == [Reset(a, ResetReason.PEER_RESET)]
        c, d = link.open(link.a)
        link.a.tunnels.send(c, b"others live on")
        link.settle()
        assert received(link.b, d) == b"others live on"

    def test_pause_and_resume_are_told_once_each(self) -> None:
        link = TunnelLink()
        a, _ = link.open(link.a)
        assert link.a.tunnels.send(a, bytes(HIGH_WATER_BYTES - 1))
        assert not link.a.tunnels.send(a, b"!")
        assert not writable(link.a.tunnels, a)
        resumed_at = None
        while link.send(link.a, 1):
            if link.a.take(Writable):
                assert resumed_at is None
                resumed_at = len(link.b.arriving) * 1365
                assert writable(link.a.tunnels, a)
        assert resumed_at is not None
        assert HIGH_WATER_BYTES - LOW_WATER_BYTES <= resumed_at < HIGH_WATER_BYTES - LOW_WATER_BYTES + 1365

    def test_a_bulk_stream_does_not_hold_up_a_small_one(self) -> None:
        link = TunnelLink()
        bulk, _ = link.open(link.a)
        small, _ = link.open(link.a)
        link.a.tunnels.send(bulk, bytes(200_000))
        link.send(link.a, 3)
        link.a.tunnels.send(small, b"typed")
        link.b.arriving.clear()
        link.send(link.a, 2)
        assert sorted(len(packet) for packet in link.b.arriving) == [8 + 5, 1373]


class TestConnection:
    def test_loss_resets_open_tunnels_and_voids_the_peers_requests(self) -> None:
        link = TunnelLink()
        a, b = link.open(link.a)
        link.a.tunnels.send(a, b"lost")
        link.a.tunnels.open("localhost", 22, 0.0)
        link.settle()
        [request] = link.b.take(OpenRequested)
        link.disconnect()
        link.settle()
        assert link.a.events == [Reset(a, ResetReason.CONNECTION_LOST)]
        assert link.b.take(Data)
        assert link.b.events == [Reset(b, ResetReason.CONNECTION_LOST), RequestCancelled(request.handle)]
        assert not link.b.tunnels.accept(request.handle)
        assert not link.a.tunnels.online

    @pytest.mark.parametrize("toxvpn", [True, False])
    def test_requests_are_sent_again_when_the_friend_is_back(self, toxvpn: bool) -> None:
        link = TunnelLink(toxvpn=toxvpn)
        early = link.a.tunnels.open("localhost", 1, 0.0)
        link.settle()
        link.b.take(OpenRequested)
        link.disconnect()
        late = link.a.tunnels.open("localhost", 2, 1.0)
        assert link.a.tunnels.next_packet() is None
        link.now = 14.0
        link.connect()
        link.settle()
        requests = link.b.take(OpenRequested)
        assert [request.port for request in requests] == [1, 2], "in the order they were made"
        for request in requests:
            link.b.tunnels.accept(request.handle)
        link.settle()
        assert link.a.take(Opened) == [Opened(early), Opened(late)]

    def test_requests_whose_time_runs_out_meanwhile_fail(self) -> None:
        link = TunnelLink()
        sent = link.a.tunnels.open("localhost", 1, 0.0)
        link.settle()
        link.disconnect()
        waiting = link.a.tunnels.open("localhost", 2, 1.0)
        link.advance(REQUEST_TIMEOUT_S)
        [failed] = link.a.take(OpenFailed)
        assert (failed.handle, failed.reason) == (sent, ReplyCode.TIMED_OUT)
        assert "not connected" in failed.text
        link.advance(1.0 + WAITING_TIMEOUT_S - REQUEST_TIMEOUT_S)
        [failed] = link.a.take(OpenFailed)
        assert failed.handle == waiting
        assert link.a.tunnels.next_timer() is None

    def test_coming_and_going_prolongs_no_request_for_ever(self) -> None:
        link = TunnelLink()
        link.a.tunnels.open("localhost", 1, 0.0)
        for _ in range(20):
            link.settle()
            link.disconnect()
            link.connect()
            link.a.tunnels.peer_status(True, link.now)
            link.advance(5.0)
        assert len(link.a.take(OpenFailed)) == 1

    def test_a_full_send_queue_loses_and_reorders_nothing(self) -> None:
        link = TunnelLink()
        a, b = link.open(link.a)
        link.a.tunnels.send(a, NOISE[:5000])
        packet = link.a.tunnels.next_packet()
        assert packet is not None
        link.a.tunnels.ping(link.now)
        assert link.a.tunnels.next_packet() == packet, "until it is confirmed"
        link.settle()
        assert received(link.b, b) == NOISE[:5000]


Step = tuple[str, bool, int, int]  # action, side, tunnel, size; what a step cannot do it leaves undone
ACTIONS = ["send"] * 4 + ["eof"] + ["put"] * 3 + ["arrive"] * 3 + ["consume"] * 2 + ["status"]
SIZES = [1, 3, 1364, 1365, 1366, 5001, 20_000, 65_536, 100_001, 262_144, 400_000]
steps = st.lists(
    st.tuples(st.sampled_from(ACTIONS), st.booleans(), st.integers(0, 2), st.sampled_from(SIZES)), max_size=80
)


class Player:
    """Plays steps on a link of three tunnels, and remembers what was sent and received in each direction."""

    def __init__(self) -> None:
        self.link = TunnelLink(toxvpn=False)
        first, second = self.link.a, self.link.b
        self.handles: list[dict[Side, int]] = []
        for client in (first, second, first):
            mine, theirs = self.link.open(client)
            self.handles.append({client: mine, self.link.other(client): theirs})
        self.sent: dict[tuple[Side, int], bytes] = defaultdict(bytes)
        self.got: dict[tuple[Side, int], bytes] = defaultdict(bytes)
        self.unconsumed: dict[tuple[Side, int], int] = defaultdict(int)
        self.ended: set[tuple[Side, int]] = set()
        self.last: dict[tuple[Side, int], list[Event]] = defaultdict(list)

    def step(self, action: str, which: bool, tunnel: int, size: int) -> None:
        side = self.link.b if which else self.link.a
        handle = self.handles[tunnel][side]
        if action == "send" and (side, handle) not in self.ended and writable(side.tunnels, handle):
            data = NOISE[size : size + size]
            self.sent[side, handle] += data
            side.tunnels.send(handle, data)
        elif action == "eof" and (side, handle) not in self.ended and size == 5001:
            self.ended.add((side, handle))
            side.tunnels.send_eof(handle, self.link.now)
        elif action == "put":
            self.link.send(side, 1 + size // 1000)
        elif action == "arrive":
            self.link.arrive(side, 1 + size // 1000)
        elif action == "consume":
            amount = min(size, self.unconsumed[side, handle])
            self.unconsumed[side, handle] -= amount
            side.tunnels.consumed(handle, amount)
        elif action == "status" and size > 250_000:
            side.tunnels.peer_status(True, self.link.now)
        self.note()

    def note(self) -> None:
        for side in (self.link.a, self.link.b):
            side.collect()
            for event in side.events:
                if isinstance(event, Data):
                    self.got[side, event.handle] += event.data
                    self.unconsumed[side, event.handle] += len(event.data)
                elif isinstance(event, HalfClosed | Closed | Reset):
                    self.last[side, event.handle].append(event)
            side.events.clear()

    def finish(self) -> None:
        """Both sides learn who they talk to, end every direction and read all that comes."""
        for side in (self.link.a, self.link.b):
            side.tunnels.peer_status(True, self.link.now)
            for handles in self.handles:
                if (side, handles[side]) not in self.ended:
                    side.tunnels.send_eof(handles[side], self.link.now)
        for _ in range(100):
            self.link.settle()
            self.note()
            for (side, handle), amount in list(self.unconsumed.items()):
                side.tunnels.consumed(handle, amount)
                self.unconsumed[side, handle] = 0


def play(schedule: list[Step]) -> None:
    player = Player()
    for step in schedule:
        player.step(*step)
    player.finish()
    for handles in player.handles:
        (one, mine), (two, theirs) = handles.items()
        assert player.got[two, theirs] == player.sent[one, mine]
        assert player.got[one, mine] == player.sent[two, theirs]
        for side, handle in handles.items():
            assert player.last[side, handle] == [HalfClosed(handle), Closed(handle, 0)]
    for side in (player.link.a, player.link.b):
        assert not side.tunnels.drops
        assert side.tunnels.next_timer() is None


@settings(deadline=None, max_examples=50)
@given(steps)
def test_whatever_the_schedule_all_bytes_arrive_in_order_and_both_ends_end_well(schedule: list[Step]) -> None:
    play(schedule)


@pytest.mark.parametrize("seed", range(15))
def test_long_schedules_too(seed: int) -> None:
    choice = random.Random(seed)
    play(
        [
            (choice.choice(ACTIONS), choice.random() < 0.5, choice.randrange(3), choice.choice(SIZES))
            for _ in range(400)
        ]
    )
