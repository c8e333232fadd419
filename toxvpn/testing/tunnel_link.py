"""Two `FriendTunnels` joined by memory, for tests: packets wait in order until a test carries them over."""

from collections import deque
from typing import TypeVar

from ..wire.tuntox.events import Event, Opened, OpenRequested
from ..wire.tuntox.friend import FriendTunnels

E = TypeVar("E")


class Side:
    """One end: its tunnels, its events, and the packets on their way to it."""

    def __init__(self, tunnels: FriendTunnels) -> None:
        self.tunnels = tunnels
        self.events: list[Event] = []
        self.arriving: deque[bytes] = deque()

    def collect(self) -> None:
        while (event := self.tunnels.next_event()) is not None:
            self.events.append(event)

    def take(self, kind: type[E]) -> list[E]:
        """Removes and returns the events of one kind, in order."""
        self.collect()
        found: list[E] = [event for event in self.events if isinstance(event, kind)]
        self.events = [event for event in self.events if not isinstance(event, kind)]
        return found


class TunnelLink:
    """Sides `a` and `b`; `now` moves only when a test moves it."""

    def __init__(self, *, toxvpn: bool = True) -> None:
        self.now = 0.0
        low, high = bytes(32), b"\xff" * 32
        self.a = Side(FriendTunnels(low, high))
        self.b = Side(FriendTunnels(high, low))
        self.connect()
        if toxvpn:
            for side in (self.a, self.b):
                side.tunnels.peer_status(True, self.now)

    def connect(self) -> None:
        for side in (self.a, self.b):
            side.tunnels.connected(self.now)

    def disconnect(self) -> None:
        for side in (self.a, self.b):
            side.tunnels.connection_lost()
            side.arriving.clear()

    def other(self, side: Side) -> Side:
        return self.b if side is self.a else self.a

    def send(self, side: Side, most: int = 1 << 30) -> int:
        """Sends up to `most` of the side's packets; returns how many."""
        count = 0
        while count < most and (packet := side.tunnels.next_packet()) is not None:
            side.tunnels.packet_sent()
            self.other(side).arriving.append(packet)
            count += 1
        side.collect()
        return count

    def arrive(self, side: Side, most: int = 1 << 30) -> int:
        """Lets up to `most` packets reach the side; returns how many."""
        count = 0
        while count < most and side.arriving:
            side.tunnels.receive_packet(side.arriving.popleft(), self.now)
            count += 1
        side.collect()
        return count

    def settle(self) -> None:
        """Carries packets until nothing moves any more."""
        while any([self.send(self.a), self.send(self.b), self.arrive(self.a), self.arrive(self.b)]):
            pass

    def advance(self, seconds: float) -> None:
        self.now += seconds
        for side in (self.a, self.b):
            side.tunnels.handle_timer(self.now)
        self.settle()

    def open(self, client: Side, host: str = "localhost", port: int = 22) -> tuple[int, int]:
        """Opens a tunnel from `client`; returns its handle at each side, the client's first."""
        server = self.other(client)
        handle = client.tunnels.open(host, port, self.now)
        self.settle()
        [asked] = server.take(OpenRequested)
        assert (asked.host, asked.port) == (host, port)
        assert server.tunnels.accept(asked.handle)
        self.settle()
        assert client.take(Opened) == [Opened(handle)]
        return handle, asked.handle


def writable(tunnels: FriendTunnels, handle: int) -> bool:
    """Whether `send` does not ask to pause; False for a tunnel that is not open."""
    tunnel = tunnels._tunnels.by_handle(handle)
    return tunnel is not None and not tunnel.local_eof and not tunnel._paused
