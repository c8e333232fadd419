"""toxcore's rate control under a clock that goes in steps: the real library, on a time of the test's own."""

import errno
from collections.abc import Iterator

import pytest

from toxvpn._native.results import SendResult
from toxvpn.testing.hooked import fail_sends, set_time
from toxvpn.testing.two_toxcores import PACKET_ID, Pair
from toxvpn.tox.timing import ClockSteps

PACKET = bytes([PACKET_ID]) + bytes(1300)
TURN_NS = 200_000
SECONDS = 5
S = 1_000_000_000
DRAINED = 16
"""Packets in flight occupy the sender's socket, so the other side reads often."""


class Bulk(Pair):
    def send_what_it_takes(self) -> int:
        """Return how many packets were sent."""
        sent = 0
        while self.here.send_lossless(self.number, PACKET) is SendResult.SENT:
            sent += 1
            if sent % DRAINED == 0:
                self.there.iterate()
        return sent


@pytest.fixture
def pair() -> Iterator[Bulk]:
    try:
        made = Bulk()
        yield made
        made.close()
    finally:
        fail_sends([])
        set_time(None)


def received(pair: Bulk, *, in_steps: bool) -> int:
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


def test_turns_without_end_cost_no_rate_when_time_passes_in_steps(pair: Bulk) -> None:
    """Turns as often as a node with a busy VPN takes them; see docs/decisions/0004."""
    assert received(pair, in_steps=True) > 5000


def test_without_steps_the_rate_shrinks_after_a_loss(pair: Bulk) -> None:
    """The reason for the steps: if this fails, toxcore has changed, and they may be useless."""
    assert 0 < received(pair, in_steps=False) < 2500
