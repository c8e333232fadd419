"""How soon the real toxcore repeats a lost packet after which nothing is sent, and with a PING after it."""

import errno
from collections.abc import Iterator

import pytest

from toxvpn.testing.hooked import fail_sends, set_time
from toxvpn.testing.two_toxcores import FriendSeen, Pair
from toxvpn.wire.tuntox.tail import Tail

MS = 1_000_000
LOSSES = 12
DATA, PING, PONG = b"\xa2d", b"\xa2p", b"\xa2q"


class Answering(FriendSeen):
    """Answers data with data, and a PING with a PONG, as a peer of the tuntox road."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[bytes] = []

    def on_lossless(self, number: int, packet: bytes) -> None:
        self.packets += packet[:2] == DATA
        self.answers.append({DATA: DATA, PING: PONG}.get(packet[:2], b""))


class Talk:
    """`here` asks, `there` answers."""

    def __init__(self) -> None:
        self.pair = Pair()
        self.asking, self.answering = Answering(), Answering()
        self.pair.here.handler, self.pair.there.handler = self.asking, self.answering
        self.pair.here.accept_packets(DATA[0])
        number = self.pair.there.friend_by_public_key(self.pair.here.public_key)
        assert number is not None
        self.back = number

    def turn(self, lost: bool = False) -> bool:
        """A millisecond. Whether an answer was sent, `lost` says whether to nobody."""
        self.pair.turn(MS)
        self.asking.answers.clear()
        due, self.answering.answers[:] = [each for each in self.answering.answers if each], []
        for each in due:
            fail_sends([errno.EPERM] if lost and each == DATA else [])
            self.pair.there.send_lossless(self.back, each + bytes(20))
            fail_sends([])
        return DATA in due

    def trip_ms(self, lose: str, tail: Tail | None) -> int:
        before, began_ns = self.asking.packets, self.pair.now_ns
        fail_sends([errno.EPERM] if lose == "question" else [])
        self.pair.here.send_lossless(self.pair.number, DATA + bytes(20))
        fail_sends([])
        if tail:
            tail.sent(began_ns / 1e9)
        lost = lose == "answer"
        while self.asking.packets == before:
            answered = self.turn(lost)
            lost = lost and not answered
            now = self.pair.now_ns / 1e9
            if tail and tail.due(now):
                self.pair.here.send_lossless(self.pair.number, PING + bytes(20))
        if tail:
            tail.received(self.pair.now_ns / 1e9)
        return (self.pair.now_ns - began_ns) // MS

    def longest_ms(self, lose: str, tail: Tail | None) -> int:
        trips = []
        for number in range(5 * LOSSES):
            trips.append(self.trip_ms(lose if number % 5 == 4 else "", tail))
            for _ in range(3 + number % 7):
                self.turn()
        return max(trips)


@pytest.fixture
def talk() -> Iterator[Talk]:
    try:
        made = Talk()
        for _ in range(1000):
            made.turn()
        yield made
        made.pair.close()
    finally:
        fail_sends([])
        set_time(None)


@pytest.mark.parametrize("lose", ["question", "answer"])
def test_a_ping_has_a_lost_packet_repeated_soon(talk: Talk, lose: str) -> None:
    assert talk.longest_ms(lose, Tail()) < 300


@pytest.mark.parametrize("lose", ["question", "answer"])
def test_without_it_that_takes_a_second(talk: Talk, lose: str) -> None:
    """The reason for the PING: if this fails, toxcore has changed, and it may be useless."""
    assert talk.longest_ms(lose, None) > 500
