"""toxcore's rate control under a clock that goes in steps: the real library, on a time of the test's own."""

import errno
import time
from collections.abc import Iterator

import pytest

from toxvpn._native.handler import Handler
from toxvpn._native.options import Options
from toxvpn._native.results import Connection, SendResult
from toxvpn._native.toxcore import Tox
from toxvpn.testing.hooked import fail_sends, set_time
from toxvpn.tox.timing import ClockSteps

LOCAL = Options(ipv6=False, local_discovery=False)
PACKET = b"\xa2" + bytes(1300)
TURN_NS = 200_000
SECONDS = 5
S = 1_000_000_000
DRAINED = 16
"""Packets in flight occupy the sender's socket, so the other side reads often."""


class Friend(Handler):
    """Records whether it is connected, and counts packets."""

    def __init__(self) -> None:
        self.online = False
        self.packets = 0

    def on_self_connection(self, connection: Connection) -> None: ...
    def on_friend_request(self, public_key: bytes, message: bytes) -> None: ...
    def on_friend_name(self, number: int, name: bytes) -> None: ...
    def on_nap(self, slept_s: float) -> None: ...
    def on_friend_status_message(self, number: int, text: bytes) -> None: ...
    def on_lossy(self, number: int, packet: bytes) -> None: ...

    def on_friend_connection(self, number: int, connection: Connection) -> None:
        self.online = connection is Connection.UDP

    def on_lossless(self, number: int, packet: bytes) -> None:
        self.packets += 1


class Pair:
    """Two connected friends, whose time passes when the test says so."""

    def __init__(self) -> None:
        self.now_ns = time.monotonic_ns()
        set_time(self.now_ns)
        self.friends = Friend(), Friend()
        self.here, self.there = (Tox(LOCAL, handler=friend) for friend in self.friends)
        self.there.accept_packets(PACKET[0])
        self.there.bootstrap("127.0.0.1", self.here.udp_port, self.here.dht_id)
        self.number = self.here.friend_add_norequest(self.there.public_key)
        self.there.friend_add_norequest(self.here.public_key)
        for _ in range(20_000):
            if all(friend.online for friend in self.friends):
                return
            self.turn(5_000_000)
        raise AssertionError("not connected after 100 s of its time")

    def close(self) -> None:
        self.here.close()
        self.there.close()

    def turn(self, passed_ns: int) -> None:
        self.now_ns += passed_ns
        set_time(self.now_ns)
        self.there.iterate()
        self.here.iterate()

    def send_what_it_takes(self) -> int:
        """Return how many packets were sent."""
        sent = 0
        while self.here.send_lossless(self.number, PACKET) is SendResult.SENT:
            sent += 1
            if sent % DRAINED == 0:
                self.there.iterate()
        return sent


@pytest.fixture
def pair() -> Iterator[Pair]:
    try:
        made = Pair()
        yield made
        made.close()
    finally:
        fail_sends([])
        set_time(None)


def received(pair: Pair, *, in_steps: bool) -> int:
    """Packets in SECONDS of bulk with 5000 turns each; every second but the first loses a datagram."""
    began_ns = next_ns = pair.now_ns
    next_loss_ns = began_ns + S
    steps = ClockSteps()
    steps.begin(began_ns / S)
    while pair.now_ns < began_ns + SECONDS * S:
        pair.turn(TURN_NS)
        if pair.now_ns < next_ns:
            continue
        if pair.now_ns >= next_loss_ns:
            fail_sends([errno.EPERM])
            next_loss_ns += S
        steps.stepped(pair.send_what_it_takes(), pair.now_ns / S)
        next_ns = pair.now_ns + int(steps.step_s * S)
        if in_steps:
            pair.here.step_clock(steps.step_s)
    return pair.friends[1].packets


def test_turns_without_end_cost_no_rate_when_time_passes_in_steps(pair: Pair) -> None:
    """Turns as often as a node with a busy VPN takes them; see docs/decisions/0004."""
    assert received(pair, in_steps=True) > 5000


def test_without_steps_the_rate_shrinks_after_a_loss(pair: Pair) -> None:
    """The reason for the steps: if this fails, toxcore has changed, and they may be useless."""
    assert 0 < received(pair, in_steps=False) < 2500
