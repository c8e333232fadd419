"""The tuntox road: streams as lossless Tox packets, understood by tuntox programs, both ways.

Stations of a byte: local end -> tunnel_stream.py -> wire/tuntox/friend.py (frames, order, credit) ->
`Conversation.pump` -> node -> Tox, and back. Opening: our side calls `TuntoxRoad.open`; for the
peer's requests `serve` says which local end they get.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from ..._native.results import SendResult
from ...errors import PeerOfflineError
from ...tox.brake import Brake
from ...tox.events import Event as NodeEvent
from ...tox.events import PeerConnection, PeerPacketSize, PeerRemoved, PeerStatus
from ...tox.guard import Guard
from ...tox.loglimit import Lines
from ...tox.node import Node
from ...tox.peer import Peer
from ...wire import status
from ...wire.socks5 import ReplyCode
from ...wire.tuntox import events as tunnel_events
from ...wire.tuntox.frames import FrameDrop
from ...wire.tuntox.friend import FriendTunnels
from ..descriptors import DESCRIPTORS, TOO_FEW_DESCRIPTORS
from ..ends import End
from ..road import StreamOpenError, refused
from ..target import TargetRefusedError
from .stream import TunnelStream

log = logging.getLogger("toxvpn.tcpforward")

PACKET_ID = 0xA2  # the first byte of both magics, docs/wire-format.md §1

Serve = Callable[[Peer, str, int], Awaitable[End]]
"""Connects to host:port for a peer; raises TargetRefusedError."""

StreamEvent = (
    tunnel_events.Data
    | tunnel_events.HalfClosed
    | tunnel_events.Writable
    | tunnel_events.Closed
    | tunnel_events.Reset
)


class TuntoxRoad:
    """One for all peers of a node. `serve` None: requests are refused (a client)."""

    name = "tuntox"

    def __init__(self, node: Node, serve: Serve | None = None) -> None:
        self.node = node
        self.serve = serve
        self.full = Lines(at_once=1)
        self._blocked: set[Conversation] = set()
        self._retry_timer: asyncio.TimerHandle | None = None
        self._guarded = Guard()
        self._conversations: dict[bytes, Conversation] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._past_drops: Counter[FrameDrop] = Counter()
        node.subscribe(self._hear)
        node.on_lossless_id(PACKET_ID, self._receive)

    async def open(self, peer: Peer, host: str, port: int) -> TunnelStream:
        return await self.conversation(peer).open(host, port)

    async def ping(self, peer: Peer) -> float:
        """Round trip in seconds. Waits for ever for an answer; raises PeerOfflineError."""
        return await self.conversation(peer).ping()

    def conversation(self, peer: Peer) -> "Conversation":
        found = self._conversations.get(peer.public_key)
        if found is None:
            found = self._conversations[peer.public_key] = Conversation(self, peer)
        return found

    def drops(self) -> Counter[FrameDrop]:
        """Packets of the peers, of those that left too, that were of no use."""
        return sum((each.tunnels.drops for each in self._conversations.values()), self._past_drops)

    def run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """Resets what still runs for peers."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for conversation in self._conversations.values():
            conversation.pump()
        if self._retry_timer is not None:
            self._retry_timer.cancel()

    def _receive(self, peer: Peer, packet: bytes) -> None:
        self.conversation(peer).receive(packet)

    def _hear(self, event: NodeEvent) -> None:
        if isinstance(event, PeerConnection):
            if event.peer.online:
                self.conversation(event.peer).found()
            elif (known := self._conversations.get(event.peer.public_key)) is not None:
                known.lost()
                if known.idle:  # a server sees many passing clients
                    self._forget(event.peer)
        elif isinstance(event, PeerRemoved):
            if (known := self._conversations.get(event.peer.public_key)) is not None:
                known.removed()
                self._forget(event.peer)
        elif isinstance(event, PeerPacketSize):
            self.conversation(event.peer).tunnels.resize(event.peer.packet_bytes)
        elif isinstance(event, PeerStatus):
            conversation = self.conversation(event.peer)
            said = status.decode(event.text)
            if said.problem:
                event.peer.tell(log, logging.WARNING, "%s", said.problem)
            conversation.tunnels.peer_status(said.speaks_toxvpn, conversation.now())
            conversation.soon()

    def _forget(self, peer: Peer) -> None:
        self._past_drops += self._conversations.pop(peer.public_key).tunnels.drops

    def block(self, conversation: "Conversation", blocked: bool) -> None:
        """Whether packets of it wait for toxcore to take them."""
        if not blocked:
            self._blocked.discard(conversation)
        elif conversation not in self._blocked:
            self._blocked.add(conversation)
            conversation.brake.engage(conversation.now())
            self._step()

    def is_blocked(self, conversation: "Conversation") -> bool:
        return conversation in self._blocked

    def _step(self) -> None:
        """toxcore refills what it allows by the next turn; used up only when that time has really passed."""
        step_s = max(each.brake.step_s for each in self._blocked)
        self.node.let_pass(step_s)
        if self._retry_timer is None:
            self._retry_timer = asyncio.get_running_loop().call_later(step_s, self._retry)

    def _retry(self) -> None:
        self.node.turn()
        self._retry_timer = None
        if self.node.closed:
            return
        for conversation in list(self._blocked):
            self._guarded(conversation.retry)
        if self._blocked:
            self._step()


class Conversation:
    """What goes on with one peer, across its comings and goings."""

    def __init__(self, road: TuntoxRoad, peer: Peer) -> None:
        self.tunnels = FriendTunnels(road.node.tox.public_key, peer.public_key)
        self.tunnels.resize(peer.packet_bytes)
        self.brake = Brake()
        self._road = road
        self._peer = peer
        self._loop = asyncio.get_running_loop()
        self.streams: dict[int, TunnelStream] = {}
        self._opening: dict[int, asyncio.Future[TunnelStream]] = {}
        self._pings: dict[int, asyncio.Future[float]] = {}
        self._serving: dict[int, asyncio.Task[None]] = {}
        self._pump_planned = False
        self._guarded = Guard()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s: float | None = None
        if peer.online:
            self.tunnels.connected(self.now())
            if peer.status_text is not None:
                self.tunnels.peer_status(status.decode(peer.status_text).speaks_toxvpn, self.now())

    def now(self) -> float:
        return self._loop.time()

    @property
    def idle(self) -> bool:
        """Whether nobody has anything to do with it."""
        return not (self.streams or self._opening or self._serving or self._pings)

    # -- what comes in

    def receive(self, packet: bytes) -> None:
        self.tunnels.receive_packet(packet, self.now())
        self.soon()

    def found(self) -> None:
        """The peer is online, perhaps only by another path than before."""
        if not self.tunnels.online:
            self.tunnels.connected(self.now())
            self.soon()

    def lost(self) -> None:
        self.tunnels.connection_lost()
        for waiting in self._pings.values():
            if not waiting.done():
                waiting.set_exception(PeerOfflineError("the peer went offline"))
        self._pings.clear()
        self.pump()

    def removed(self) -> None:
        """The peer is lost for good; should it become a peer again, that is another conversation."""
        self.lost()
        for opening in self._opening.values():
            if not opening.done():
                opening.set_exception(PeerOfflineError("the peer has been removed"))
        self._opening.clear()

    async def open(self, host: str, port: int) -> TunnelStream:
        handle = self.tunnels.open(host, port, self.now())
        opening: asyncio.Future[TunnelStream] = self._loop.create_future()
        self._opening[handle] = opening
        self.soon()
        try:
            return await opening
        except asyncio.CancelledError:
            if opening.done() and not opening.cancelled() and opening.exception() is None:
                opening.result().abort()
            elif self._opening.pop(handle, None) is not None:
                self.tunnels.reset(handle, self.now())
                self.soon()
            raise

    async def ping(self) -> float:
        if not self.tunnels.online:
            raise PeerOfflineError("the peer is offline")
        sequence = self.tunnels.ping(self.now())
        answer: asyncio.Future[float] = self._loop.create_future()
        self._pings[sequence] = answer
        self.soon()
        try:
            return await answer
        finally:
            self._pings.pop(sequence, None)

    # -- what goes out

    def forget(self, handle: int) -> None:
        """The stream has ended: nothing is to be told to it any more."""
        self.streams.pop(handle, None)

    def soon(self) -> None:
        """After the loop's present round, so that what belongs together leaves in one batch."""
        if not self._pump_planned:
            self._pump_planned = True
            self._loop.call_soon(self._planned_pump)

    def _planned_pump(self) -> None:
        self._pump_planned = False
        if self._road.node.closed:
            return
        if self._road.is_blocked(self):
            self._deliver_events()
            self._set_timer()
        else:
            self.pump()

    def pump(self) -> int:
        """Events to the streams, packets to toxcore until it refuses one, the next timer; how many went."""
        node = self._road.node
        sent = 0
        blocked = True  # also after a failure, so that it is tried again
        self._deliver_events()
        node.tox.cork()
        try:
            while (packet := self.tunnels.next_packet()) is not None:
                if node.send_lossless(self._peer, packet) is not SendResult.SENT:
                    blocked = self._peer.online  # else it has just left
                    break
                sent += 1
                self.tunnels.packet_sent()
                self._deliver_events()
            else:
                blocked = False
        finally:
            node.tox.uncork()
            self._road.block(self, blocked)
            self._set_timer()
        return sent

    def retry(self) -> None:
        """So much time has passed that toxcore may take packets again."""
        self.brake.stepped(self.pump(), self.now())

    def _deliver_events(self) -> None:
        while (event := self.tunnels.next_event()) is not None:
            self._guarded(self._deliver, event)

    def _set_timer(self) -> None:
        due_s = self.tunnels.next_timer()
        if due_s == self._timer_s:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_s = due_s
        self._timer = None if due_s is None else self._loop.call_at(due_s, self._timed)

    def _timed(self) -> None:
        self._timer = self._timer_s = None
        self.soon()
        self.tunnels.handle_timer(self.now())

    # -- events

    def _deliver(self, event: tunnel_events.Event) -> None:
        match event:
            case tunnel_events.Opened(handle):
                self._opened(handle)
            case tunnel_events.OpenFailed(handle, reason, text):
                if (opening := self._opening.pop(handle, None)) and not opening.done():
                    opening.set_exception(StreamOpenError(reason, text) if text else refused(reason))
            case tunnel_events.OpenRequested(handle, host, port):
                self._serving[handle] = self._road.run(self._serve(handle, host, port))
            case tunnel_events.RequestCancelled(handle):
                if (task := self._serving.pop(handle, None)) is not None:
                    task.cancel()
            case tunnel_events.Pong(sequence, rtt_s, _):
                if (answer := self._pings.pop(sequence, None)) and not answer.done():
                    answer.set_result(rtt_s)
            case _:
                self._deliver_to_stream(event)

    def _deliver_to_stream(self, event: StreamEvent) -> None:
        stream = self.streams.get(event.handle)
        if stream is None:
            return
        try:
            self._tell(stream, event)
        except BaseException:  # it would go on with a gap
            stream.abort()
            raise

    def _tell(self, stream: TunnelStream, event: StreamEvent) -> None:
        match event:
            case tunnel_events.Data(_, data):
                stream.on_data(data)
            case tunnel_events.HalfClosed():
                stream.on_half_closed()
            case tunnel_events.Writable():
                stream.on_writable()
            case tunnel_events.Closed(handle, unsent_bytes):
                if unsent_bytes:
                    log.debug("peer %s closed before taking %d bytes", self._peer.short, unsent_bytes)
                self.forget(handle)
                stream.on_closed()
            case tunnel_events.Reset(handle, reason):
                self._peer.tell(log, logging.INFO, "a stream broke: %s", reason)
                self.forget(handle)
                stream.on_reset()

    def _opened(self, handle: int) -> None:
        opening = self._opening.pop(handle, None)
        if opening is None or opening.done():
            self.tunnels.reset(handle, self.now())
            return
        stream = self.streams[handle] = TunnelStream(self, handle)
        opening.set_result(stream)

    async def _serve(self, handle: int, host_untrusted: str, port: int) -> None:
        """A request of the peer's, from the target to the last byte."""
        others = len(self.streams) + len(self._serving) - 1
        if not (DESCRIPTORS.allows_more(others) and DESCRIPTORS.take(1)):
            self._serving.pop(handle, None)
            self._road.full.tell(
                log, logging.WARNING, "peer %s: refused: %s", self._peer.short, TOO_FEW_DESCRIPTORS
            )
            self._refuse(handle, ReplyCode.GENERAL_FAILURE)
            return
        try:
            await self._serve_within_budget(handle, host_untrusted, port)
        finally:
            DESCRIPTORS.give(1)

    async def _serve_within_budget(self, handle: int, host_untrusted: str, port: int) -> None:
        """The peer learns the code of a refusal: the rest of it may tell of names and addresses here."""
        try:
            local = await self._connect(host_untrusted, port)
        except TargetRefusedError as refusal:
            self._peer.tell(log, logging.INFO, "refused: %s", refusal)
            self._refuse(handle, refusal.code)
            return
        except Exception:
            log.exception("peer %s: an error of toxvpn itself", self._peer.short)
            self._refuse(handle, ReplyCode.GENERAL_FAILURE)
            return
        finally:
            self._serving.pop(handle, None)
        if not self.tunnels.accept(handle):
            local.close(clean=True)
            return
        stream = self.streams[handle] = TunnelStream(self, handle)
        self.soon()
        await stream.relay(local)

    def _refuse(self, handle: int, code: ReplyCode) -> None:
        self.tunnels.refuse(handle, code)
        self.soon()

    async def _connect(self, host: str, port: int) -> End:
        if self._road.serve is None:
            raise TargetRefusedError(ReplyCode.NOT_ALLOWED, "this side only calls, it serves nothing")
        return await self._road.serve(self._peer, host, port)
