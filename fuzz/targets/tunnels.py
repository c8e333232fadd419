"""The tuntox road: all that a peer may send to FriendTunnels, mixed with all that their owner may do."""

import contextlib

from toxvpn.errors import LocalProtocolError
from toxvpn.wire.socks5 import ReplyCode
from toxvpn.wire.tuntox import frames
from toxvpn.wire.tuntox.events import Data, Event, Opened, OpenRequested
from toxvpn.wire.tuntox.frames import FrameType, Version
from toxvpn.wire.tuntox.friend import FriendTunnels
from toxvpn.wire.tuntox.open_tunnels import MAX_FRIEND_BUFFERED_BYTES

from ..target import Choices, target

LOW, HIGH = bytes(32), b"\xff" * 32
MALFORMED = (frames.FrameDrop.LENGTH_MISMATCH, frames.FrameDrop.BAD_PAYLOAD, frames.FrameDrop.BAD_HOST)
MOST_PACKETS = 64
"""Taken in a step: a slow road leaves the rest."""


class Owner:
    """Drives the tunnels as the node does, and remembers what they have said."""

    def __init__(self, *, first: bool) -> None:
        self.now = 0.0
        self.tunnels = FriendTunnels(LOW, HIGH) if first else FriendTunnels(HIGH, LOW)
        self.handles: list[int] = []
        self.asked: list[int] = []
        self.unconsumed: dict[int, int] = {}

    def drain(self, most: int = MOST_PACKETS) -> list[bytes]:
        """Reads the events, and takes packets."""
        sent: list[bytes] = []
        self._events()
        while len(sent) < most and (packet := self.tunnels.next_packet()) is not None:
            assert not isinstance(frames.decode(packet), frames.FrameDrop)
            assert self.tunnels.next_packet() == packet
            self.tunnels.packet_sent()
            sent.append(packet)
            self._events()
        assert sum(self.unconsumed.values()) <= MAX_FRIEND_BUFFERED_BYTES
        return sent

    def _events(self) -> None:
        while (event := self.tunnels.next_event()) is not None:
            self._note(event)

    def _note(self, event: Event) -> None:
        if isinstance(event, OpenRequested):
            self.asked.append(event.handle)
        elif isinstance(event, Opened):
            self.handles.append(event.handle)
        elif isinstance(event, Data):
            assert event.handle in self.handles
            self.unconsumed[event.handle] = self.unconsumed.get(event.handle, 0) + len(event.data)

    def act(self, choices: Choices) -> None:
        """One step of what an owner may do."""
        tunnels, now = self.tunnels, self.now
        handle = choices.pick([*self.handles[-8:], *self.asked[-8:], 999])
        match choices.below(13):
            case 0:
                tunnels.connected(now)
            case 1:
                tunnels.peer_status(choices.flag(), now)
            case 2:
                tunnels.connection_lost()
            case 3:
                tunnels.open("localhost", 22, now)
            case 4:
                if self.asked and tunnels.accept(choices.pick(self.asked)):
                    self.handles += self.asked[-1:]
                    self.handles = list(dict.fromkeys([*self.handles, *self.asked]))
            case 5 if self.asked:
                tunnels.refuse(choices.pick(self.asked), ReplyCode.NOT_ALLOWED, "no")
            case 6:
                with contextlib.suppress(LocalProtocolError):
                    tunnels.send(handle, bytes(choices.number(2)))
            case 7:
                with contextlib.suppress(LocalProtocolError):
                    tunnels.send_eof(handle, now)
            case 8:
                count = self.unconsumed.pop(handle, 0)
                with contextlib.suppress(LocalProtocolError):
                    tunnels.consumed(handle, count)
            case 9:
                tunnels.reset(handle, now)
            case 10 if tunnels.online:
                tunnels.ping(now)
            case 11:
                tunnels.resize(500 + choices.number(2) % 874)
            case 12:
                self.now = max(now, tunnels.next_timer() or now) + choices.number() / 16
                tunnels.handle_timer(self.now)


@target
def friend_tunnels(data: bytes) -> None:
    """Any packets of a peer: nothing is raised, what waits is bounded, and what is sent are frames."""
    choices = Choices(data)
    owner = Owner(first=choices.flag())
    owner.tunnels.connected(owner.now)
    while choices.left:
        if choices.flag():
            owner.act(choices)
        else:
            owner.tunnels.receive_packet(_packet(choices), owner.now)
        owner.drain(choices.below(4) * 20)


def _packet(choices: Choices) -> bytes:
    """A frame, mostly well-formed; of a small number of tunnel IDs."""
    version = choices.pick(list(Version))
    kind = choices.pick([*FrameType, None])
    if kind is None:
        return choices.chunk(frames.MAX_PACKET_BYTES + 1)
    connid = choices.below(8)
    if kind is FrameType.TCP:
        return frames.data(version, connid, bytes(choices.number(2) % (frames.MAX_PAYLOAD_BYTES + 1)))
    if kind is FrameType.TCP_CREDIT:
        return frames.credit(version, connid, choices.number(4))
    if kind is FrameType.ACKTUNNEL:
        return frames.ack(version, connid, choices.below(8))
    if kind is FrameType.REQUESTTUNNEL:
        return frames.request(version, choices.below(8), b"localhost", choices.number(2))
    payload = choices.take(choices.below(32))
    return frames._encode(version, kind, connid, payload)


@target
def tunnels_joined(data: bytes) -> None:
    """Two of them, whose packets the other gets: no packet of one is dropped by the other for its form."""
    choices = Choices(data)
    first, second = Owner(first=True), Owner(first=False)
    for each in (first, second):
        each.tunnels.connected(0.0)
    while choices.left:
        acting, other = (first, second) if choices.flag() else (second, first)
        acting.act(choices)
        for one, two in ((acting, other), (other, acting)):
            for packet in one.drain():
                two.tunnels.receive_packet(packet, two.now)
            two.drain(0)
    for each in (first, second):
        assert not any(each.tunnels.drops[drop] for drop in MALFORMED)
