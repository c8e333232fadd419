"""When streams ask whether the peer's stack still knows them; that they do is in test_stack.py."""

import asyncio
from dataclasses import replace
from ipaddress import IPv6Address
from typing import cast

import pytest

from toxvpn._native.results import Connection
from toxvpn.tcpforward.fast import questions
from toxvpn.tcpforward.relay import Relay
from toxvpn.testing.fake_nodes import Network
from toxvpn.tox.events import PeerConnection


class Streams:
    """In place of a relay: whose streams were asked for."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    def descriptors(self, owner: object) -> set[int]:
        self.asked.append(owner)
        return set()


@pytest.mark.parametrize(
    ("before", "now", "times"),
    [
        (Connection.NONE, Connection.UDP, 2),
        (Connection.NONE, Connection.TCP, 2),
        (Connection.TCP, Connection.UDP, 0),
        (Connection.UDP, Connection.NONE, 0),
    ],
)
async def test_a_peer_that_is_back_is_asked_some_times(
    monkeypatch: pytest.MonkeyPatch, before: Connection, now: Connection, times: int
) -> None:
    monkeypatch.setattr(questions, "AGAIN_S", (0.0, 0.0))
    network, streams = Network(), Streams()
    node, _ = network.pair()
    peer = replace(next(iter(node)), connection=now)
    questions.on_event(cast(Relay, streams), IPv6Address("::1"), PeerConnection(peer, before))
    await asyncio.sleep(0.01)  # timers of no time are called after others
    assert streams.asked == [peer] * times
    network.close()
