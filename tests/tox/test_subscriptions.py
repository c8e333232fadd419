"""In which order events and packets are delivered, and what callbacks may do meanwhile."""

import logging

import pytest

from toxvpn._native.results import Connection
from toxvpn.tox.events import Event, SelfConnection
from toxvpn.tox.peer import Peer
from toxvpn.tox.subscriptions import Subscriptions

EVENT = SelfConnection(Connection.UDP)


def test_what_a_callback_queues_comes_after_what_is_queued() -> None:
    subscriptions, peer = Subscriptions(), Peer(0, bytes(32))
    seen: list[object] = []

    def on_packet(sender: Peer, packet: bytes) -> None:
        if packet == b"\xa2first":
            subscriptions.queue(EVENT)
            subscriptions.flush()
        seen.append(packet)

    subscriptions.add_packet_id(0xA2, on_packet)
    subscriptions.add(seen.append)
    for packet in (b"\xa2first", b"\xa2second"):
        subscriptions.queue((peer, packet))
    subscriptions.flush()
    assert seen == [b"\xa2first", b"\xa2second", EVENT]


def test_who_leaves_meanwhile_keeps_it_from_nobody() -> None:
    subscriptions = Subscriptions()
    seen: list[Event] = []

    def once(event: Event) -> None:
        subscriptions.remove(once)

    subscriptions.add(once)
    subscriptions.add(seen.append)
    subscriptions.deliver(EVENT)
    assert seen == [EVENT]


def test_one_that_fails_keeps_it_from_nobody(caplog: pytest.LogCaptureFixture) -> None:
    subscriptions = Subscriptions()
    seen: list[Event] = []

    def fail(event: Event) -> None:
        raise RuntimeError("a bug")

    subscriptions.add(fail)
    subscriptions.add(seen.append)
    subscriptions.queue(EVENT)
    subscriptions.flush()
    assert seen == [EVENT] and caplog.records[0].levelno == logging.ERROR
