"""The tuntox protocol with one friend: packets and times enter, events and packets leave. Sans-IO.

A friend may be client and server at once, so one `FriendTunnels` holds the tunnels that we opened and
those that it opened. Here they are requested, granted and refused, and packets are handed to whom they
concern; what happens in open tunnels is `open_tunnels.py`. Its parts: the format of packets (`frames.py`),
one tunnel's flow with the rules of credit and half-close (`tunnel.py`), our unanswered requests
(`requests.py`), pings (`pings.py`), the order of sending (`outbox.py`), what is reported (`events.py`).
Source: docs/wire-format.md §1 and §3.

How the owner drives it, after every call: read `next_event()` until it is None, then send
`next_packet()` while toxcore takes it, each time confirmed by `packet_sent()` (which may bring new
events); when its queue is full, stop and try later: `next_packet()` repeats what is not confirmed.
Call `handle_timer()` at the time that `next_timer()` names.

    connected, peer_status, resize, connection_lost    what the node knows of the friend
    open                                           client: Opened or OpenFailed follows
    accept, refuse                                 server: answers OpenRequested
    send, send_eof, consumed                       an open tunnel
    reset                                          gives up any of these
    ping                                           a Pong follows, if the friend answers

Garbage from the friend is dropped and counted in `drops`; only misuse by the owner raises
(LocalProtocolError). Decisions about order, bounds and loss:

- Control packets go before data; tunnels send data in turn, one packet each. A tunnel's end follows its
  last data; only a reset discards data.
- Tunnel IDs are chosen by the server and both sides may serve, so the side with the lower public key
  gives even ones and the other odd ones.
- The friend goes offline: open tunnels are Reset, its requests are RequestCancelled; ours are sent again
  when it is back, if their time has not run out.
- To a toxvpn peer nothing but v2 is sent of our own accord. Another peer's version is learned by a PING
  in each magic, repeated while requests wait for it; the magic of the first PONG is used.
"""

from dataclasses import dataclass

from ...errors import LocalProtocolError
from ..socks5 import ReplyCode
from . import frames
from .events import (
    Event,
    Opened,
    OpenFailed,
    OpenRequested,
    Pong,
    RequestCancelled,
    Reset,
    ResetReason,
)
from .frames import Frame, FrameDrop, FrameType, Version
from .open_tunnels import MAX_INBOUND_TUNNELS, OpenTunnels
from .pings import Pings
from .requests import TunnelRequest, TunnelRequests
from .tunnel import Tunnel


@dataclass(frozen=True, slots=True)
class _InboundRequest:
    version: Version
    forward_id: int | None
    port: int


class FriendTunnels(OpenTunnels):
    """The conversation with one friend, across its connects and disconnects.

    `own_key` and `friend_key` are the 32-byte public keys.
    """

    def __init__(self, own_key: bytes, friend_key: bytes) -> None:
        super().__init__(gives_even_ids=own_key < friend_key)
        self._next_handle = 1
        self._online = False
        self._answered_version: Version | None = None
        self._pings = Pings()
        self._requests = TunnelRequests()
        self._inbound_requests: dict[int, _InboundRequest] = {}

    # -- what the node knows of the friend

    @property
    def online(self) -> bool:
        return self._online

    @property
    def version(self) -> Version | None:
        """The version of our requests; None while unknown."""
        return Version.V2 if self._speaks_toxvpn else self._answered_version

    def connected(self, now: float) -> None:
        """The friend came online (a change of path is no such event)."""
        self._online = True
        self._send_requests(now)

    def peer_status(self, speaks_toxvpn: bool, now: float) -> None:
        """The friend's status message of this connection says whether it is a toxvpn."""
        self._speaks_toxvpn = speaks_toxvpn
        for tunnel in self._tunnels:
            if speaks_toxvpn:
                self._extend(tunnel)
            else:
                self._end_if_complete(tunnel)
        self._send_requests(now)

    def resize(self, packet_bytes: int) -> None:
        """The path to the friend carries packets of so many bytes."""
        self._outbox.packet_bytes = packet_bytes

    def connection_lost(self) -> None:
        """The friend went offline."""
        self._online = False
        self._speaks_toxvpn = self._answered_version = None
        self._pings.forget()
        self._requests.connection_lost()
        self._reset_all(ResetReason.CONNECTION_LOST)
        self._events.extend(RequestCancelled(handle) for handle in self._inbound_requests)
        self._inbound_requests.clear()

    # -- client

    def open(self, host: str, port: int, now: float) -> int:
        """Asks the friend for a tunnel to `host` (a name or an address) and `port`; returns the handle.

        While the friend is offline the request waits, but not longer than 30 s.
        """
        handle = self._new_handle()
        encoded = frames.encode_host(host)
        if encoded is None or not 0 < port <= 0xFFFF:
            text = "the target must be a host name of at most 255 bytes and a port from 1 to 65535"
            self._events.append(OpenFailed(handle, ReplyCode.GENERAL_FAILURE, text))
            return handle
        self._requests.add(handle, encoded, port, now)
        self._send_requests(now)
        return handle

    def ping(self, now: float) -> int:
        """Sends a PING, in both versions if the friend's is unknown; returns the number its Pong will have.

        Raises LocalProtocolError while the friend is offline.
        """
        if not self._online:
            raise LocalProtocolError("a friend that is offline cannot be pinged")
        # v2 first: a toxvpn answers both, and the first answer decides
        versions = (Version.V2, Version.V1) if self.version is None else (self.version,)
        sequence, payloads = self._pings.new(versions, now)
        self._outbox.put(*map(frames.ping, versions, payloads))
        return sequence

    # -- server

    def accept(self, handle: int) -> bool:
        """Grants what OpenRequested asked for; False if the request has been cancelled meanwhile."""
        request = self._inbound_requests.pop(handle, None)
        if request is None:
            return False
        tunnel_id = self._new_tunnel_id()
        self._outbox.put(frames.ack(request.version, tunnel_id, request.forward_id))
        tunnel = Tunnel(handle, tunnel_id, request.version, inbound=True)
        self._add(tunnel)
        return True

    def refuse(self, handle: int, reason: ReplyCode, text: str = "") -> bool:
        """Refuses what OpenRequested asked for; False if the request has been cancelled meanwhile.

        Only a toxvpn peer gets to know `reason` and `text`.
        """
        request = self._inbound_requests.pop(handle, None)
        if request is None:
            return False
        self._refuse(request, reason, text)
        return True

    # -- an open tunnel

    def reset(self, handle: int, now: float) -> None:
        """Gives up the tunnel or the unanswered request at once; no event of the handle follows.

        Both directions end and what waits is discarded. A handle that has had its last event is fine.
        """
        tunnel = self._tunnels.by_handle(handle)
        if tunnel is not None:
            self._tunnels.remove(tunnel)
            self._outbox.put_fin(tunnel.version, tunnel.tunnel_id)
        elif self._requests.cancel(handle):
            self._send_requests(now)
        else:
            self.refuse(handle, ReplyCode.GENERAL_FAILURE)

    # -- packets and events out

    def next_event(self) -> Event | None:
        return self._events.popleft() if self._events else None

    def next_packet(self) -> bytes | None:
        """The packet to send next, the same one until `packet_sent()`; None if there is none now."""
        return self._outbox.next_packet()

    def packet_sent(self) -> None:
        """toxcore took the packet.

        Raises LocalProtocolError if `next_packet()` has named none.
        """
        self._outbox.packet_sent()

    # -- time

    def next_timer(self) -> float | None:
        """When `handle_timer` is due, in the time that `now` counts; None for never."""
        times = self._tunnels.next_deadline(), self._requests.next_deadline(), self._pings.next_probe_s
        return min((time for time in times if time is not None), default=None)

    def handle_timer(self, now: float) -> None:
        for request, sent in self._requests.expire(now):
            self._events.append(OpenFailed(request.handle, ReplyCode.TIMED_OUT, self._why_late(sent)))
        for tunnel in self._tunnels.idle(now):
            self._end_lingering(tunnel, now)
        self._send_requests(now)

    # -- packets in

    def receive_packet(self, packet: bytes, now: float) -> None:
        """A lossless packet from the friend (any bytes, packet ID included)."""
        frame = frames.decode(packet) if self._online else FrameDrop.OFFLINE
        if isinstance(frame, FrameDrop):
            self.drops[frame] += 1
            return
        tunnel = self._tunnels.by_id(frame.connid)
        match frame.type:
            case FrameType.TCP:
                self._on_data(frame, tunnel, now)
            case FrameType.TCP_FIN:
                self._on_fin(tunnel)
            case FrameType.TCP_CREDIT:
                self._on_credit(frame, tunnel)
            case FrameType.TCP_HALF_CLOSE:
                self._on_half_close(frame, tunnel, now)
            case FrameType.REQUESTTUNNEL:
                self._on_request(frame)
            case FrameType.ACKTUNNEL:
                self._on_ack(frame, tunnel, now)
            case FrameType.DENYTUNNEL:
                self._on_denial(frame, now)
            case FrameType.PING:
                self._on_ping(frame)
            case FrameType.PONG:
                self._on_pong(frame, now)

    def _on_request(self, frame: Frame) -> None:
        asked = frames.read_request(frame)
        if isinstance(asked, FrameDrop):
            self.drops[asked] += 1
            return
        if self._flooded():
            return
        request = _InboundRequest(frame.version, asked.forward_id, asked.port)
        if self._tunnels.inbound() + len(self._inbound_requests) >= MAX_INBOUND_TUNNELS:
            self.drops[FrameDrop.TOO_MANY_TUNNELS] += 1
            self._refuse(request, ReplyCode.GENERAL_FAILURE, "too many tunnels at once")
            return
        handle = self._new_handle()
        self._inbound_requests[handle] = request
        self._events.append(OpenRequested(handle, asked.host, asked.port))

    def _on_ack(self, frame: Frame, in_use: Tunnel | None, now: float) -> None:
        forward_id = frames.read_ack(frame)
        if isinstance(forward_id, FrameDrop):
            self.drops[forward_id] += 1
            return
        request = self._requests.answered(frame.version, forward_id)
        if request is None:
            self.drops[FrameDrop.UNEXPECTED_ANSWER] += 1
            if in_use is None:
                self._outbox.answer_unknown(frame.version, frame.connid, now)
            return
        if request.abandoned:
            if in_use is None:
                self._outbox.put_fin(frame.version, frame.connid)
        elif self._free_for_ack(request, in_use):
            self._outbox.forget_fin(frame.connid)
            self._events.append(Opened(request.handle))
            self._add(Tunnel(request.handle, frame.connid, frame.version, inbound=False))
        self._send_requests(now)

    def _on_denial(self, frame: Frame, now: float) -> None:
        denial = frames.read_denial(frame)
        if isinstance(denial, FrameDrop):
            self.drops[denial] += 1
            return
        request = self._requests.answered(frame.version, denial.forward_id)
        if request is None:
            self.drops[FrameDrop.UNEXPECTED_ANSWER] += 1
            return
        if not request.abandoned:
            self._events.append(OpenFailed(request.handle, denial.reason, denial.text))
        self._send_requests(now)

    def _on_ping(self, frame: Frame) -> None:
        if not self._flooded():
            self._outbox.put(frames.pong(frame.version, frame.payload))

    def _on_pong(self, frame: Frame, now: float) -> None:
        answered = self._pings.answered(frame.payload, now)
        if answered is None:
            self.drops[FrameDrop.UNKNOWN_PONG] += 1
            return
        sequence, rtt_s = answered
        self._answered_version = self._answered_version or frame.version
        self._requests.barrier_passed(sequence)
        self._events.append(Pong(sequence, rtt_s, frame.version))
        self._send_requests(now)

    # -- requests

    def _send_requests(self, now: float) -> None:
        """Sends what may be sent by now, or asks for the version first."""
        if not self._online:
            return
        if self.version is None and self._requests.waiting:
            if self._pings.probe_due(now):
                self.ping(now)
            return
        self._pings.next_probe_s = None
        while self.version and (request := self._requests.next_to_send(self.version, now)):
            self._outbox.put(frames.request(self.version, request.forward_id, request.host, request.port))
            if self.version is Version.V1:
                request.barrier = self.ping(now)

    def _why_late(self, sent: bool) -> str:
        if sent:
            return "the peer did not answer: the target may be down or not allowed"
        if not self._online:
            return "the peer is not connected"
        if self.version is None:
            return "the peer does not answer as a tuntox or toxvpn server"
        return "the peer has not answered an earlier request"

    def _free_for_ack(self, request: TunnelRequest, in_use: Tunnel | None) -> bool:
        """Whether the peer's choice of tunnel ID can be taken; makes room or fails the request."""
        if in_use is None:
            return True
        self.drops[FrameDrop.DUPLICATE_TUNNEL] += 1
        if in_use.inbound:
            text = "the peer answered with a tunnel ID that is in use"
            self._events.append(OpenFailed(request.handle, ReplyCode.GENERAL_FAILURE, text))
            return False
        # its server gives the ID anew, so it has forgotten the old tunnel
        self._tunnels.remove(in_use)
        self._events.append(Reset(in_use.handle, ResetReason.PEER_RESET))
        return True

    def _refuse(self, request: _InboundRequest, reason: ReplyCode, text: str) -> None:
        if self._speaks_toxvpn:
            self._outbox.put(frames.deny(request.version, request.forward_id, request.port, reason, text))
            return
        # tuntox knows no refusal: a tunnel that ends at once closes its local socket
        tunnel_id = self._new_tunnel_id()
        self._outbox.put(frames.ack(request.version, tunnel_id, request.forward_id))
        self._outbox.put_fin(request.version, tunnel_id)

    # -- tunnels

    def _new_tunnel_id(self) -> int:
        tunnel_id = self._tunnels.new_id()
        self._outbox.forget_fin(tunnel_id)
        return tunnel_id

    def _new_handle(self) -> int:
        handle = self._next_handle
        self._next_handle += 1
        return handle

    def _flooded(self) -> bool:
        """Whether an answer must be left out because too many wait; counts the drop."""
        if not self._outbox.full:
            return False
        self.drops[FrameDrop.FLOOD] += 1
        return True
