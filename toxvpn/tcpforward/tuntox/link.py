"""The tuntox road to one peer: hands its tunnels' events to the calls, requests and streams concerned."""

import asyncio
import logging
from collections.abc import Callable

from ...tox.node import Node
from ...tox.peer import Peer
from ...wire import statusmessage
from ...wire.tuntox.events import (
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
    Writable,
)
from .calls import Calls
from .driver import TunnelDriver
from .retries import SendRetries
from .stream import TunnelStream

log = logging.getLogger("toxvpn.tcpforward")

StreamEvent = Data | HalfClosed | Writable | Closed | Reset


class TuntoxLink:
    """Lasts across the peer's comings and goings. `on_request` starts to serve a request of the peer's."""

    def __init__(
        self,
        node: Node,
        peer: Peer,
        retries: SendRetries,
        on_request: Callable[["TuntoxLink", OpenRequested], asyncio.Task[None]],
    ) -> None:
        self.peer = peer
        self.driver = TunnelDriver(node, peer, retries, self._on_event)
        self.tunnels = self.driver.tunnels
        self.calls = Calls(self.driver, self.add_stream)
        self.requests: dict[int, asyncio.Task[None]] = {}  # the peer's that have no stream yet, by handle
        self.streams: dict[int, TunnelStream] = {}  # by handle
        self.rtt_s: float | None = None
        """The round trip that the last answered ping took."""
        self._on_request = on_request
        if peer.online:
            self.tunnels.connected(self.driver.now())
            if peer.status_text is not None:
                speaks_toxvpn = statusmessage.decode(peer.status_text).speaks_toxvpn
                self.tunnels.peer_status(speaks_toxvpn, self.driver.now())

    @property
    def idle(self) -> bool:
        """Whether nothing is under way with the peer."""
        return not (self.streams or self.requests or self.calls.waiting)

    def add_stream(self, handle: int) -> TunnelStream:
        """The stream of a tunnel that is open."""
        stream = self.streams[handle] = TunnelStream(self.driver, handle, self._on_stream_end)
        return stream

    # -- events of the node

    def on_online(self) -> None:
        """The peer is online, perhaps only by another path than before."""
        if not self.tunnels.online:
            self.tunnels.connected(self.driver.now())
            self.driver.send_soon()

    def on_offline(self) -> None:
        self.tunnels.connection_lost()
        self.calls.on_offline()
        self.driver.send()

    def on_removed(self) -> None:
        """The peer is gone for good; should it become a peer again, it gets another link."""
        self.on_offline()
        self.calls.on_removed()

    def on_status(self, text_untrusted: bytes) -> None:
        status = statusmessage.decode(text_untrusted)
        if status.problem:
            self.peer.log(log, logging.WARNING, "%s", status.problem)
        self.tunnels.peer_status(status.speaks_toxvpn, self.driver.now())
        self.driver.send_soon()

    # -- events of the tunnels

    def _on_event(self, event: Event) -> None:
        match event:
            case Opened(handle):
                self.calls.on_opened(handle)
            case OpenFailed():
                self.calls.on_open_failed(event)
            case OpenRequested(handle):
                self.requests[handle] = self._on_request(self, event)
            case RequestCancelled(handle):
                if (task := self.requests.pop(handle, None)) is not None:
                    task.cancel()
            case Pong():
                self.rtt_s = event.rtt_s
                self.calls.on_pong(event)
            case _:
                self._on_stream_event(event)

    def _on_stream_event(self, event: StreamEvent) -> None:
        stream = self.streams.get(event.handle)
        if stream is None:
            return
        try:
            self._deliver(stream, event)
        except BaseException:  # it would go on with a gap
            stream.abort()
            raise

    def _deliver(self, stream: TunnelStream, event: StreamEvent) -> None:
        match event:
            case Data(_, data):
                stream.on_data(data)
            case HalfClosed():
                stream.on_half_closed()
            case Writable():
                stream.on_writable()
            case Closed(handle, unsent_bytes):
                if unsent_bytes:
                    log.debug("peer %s closed before taking %d bytes", self.peer.short, unsent_bytes)
                self._on_stream_end(handle)
                stream.on_closed()
            case Reset(handle, reason):
                self.peer.log(log, logging.INFO, "a stream broke: %s", reason)
                self._on_stream_end(handle)
                stream.on_reset()

    def _on_stream_end(self, handle: int) -> None:
        """Ends the events for the stream."""
        self.streams.pop(handle, None)
