"""Reconnects at once when this machine has slept or moved, a peer says so, or a peer is silent.

What toxcore does by itself takes 8 to 40 s: it trusts a path for 8 s after the last packet, a relay for up
to 40 s, and a connection for 32 s, during which it also refuses a new one of the same peer. Here its clock
is put ahead past these time-outs; relays are connected to anew (relays.py); and peers are asked at the
addresses where they were, by their DHT keys (wire/reach/whereabouts.py). That is how they learn our new
address: toxcore believes an address from which the owner of that key has answered.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ..._native.results import Connection
from ...errors import ToxvpnError
from ...wire import statusmessage
from ...wire.ratelimit import RateLimit
from ...wire.reach import whereabouts
from ...wire.reach.whereabouts import Whereabouts
from ..events import Event, PeerConnection, PeerRemoved, PeerStatus
from ..node import Node
from ..peer import Peer
from .relays import drop_received, reconnect_dead_relays, reconnect_relays
from .silence import Silence
from .sources import SourceWatch, source_of

log = logging.getLogger("toxvpn.tox")

PATH_S = 9.0
"""toxcore trusts a path for 8 s (UDP_DIRECT_TIMEOUT), in whole seconds."""
CONNECTION_S = 33.0
"""toxcore trusts a connection for 32 s (FRIEND_CONNECTION_TIMEOUT)."""
PERHAPS_LOST_S = 23.0
"""Peers may have given us up after so long: the last ping that came was up to 9 s old."""
PATH_AGAIN_S = 20.0
"""The clock passes PATH_S at most so often; more would add up to CONNECTION_S."""
PASSES_PER_S, PASSES_AT_ONCE = 1 / 120, 3
"""Of those, for the sake of one peer: nobody takes them from the others, or from ourselves."""
TELL_S = 6.0
TELL_AGAIN_S = 0.2
"""For TELL_S each online peer is told that we have moved, until it answers."""
SEEK_S = 10.0
SEEK_AGAIN_S = 1.0
"""For SEEK_S after a sleep or a move of either side, a peer without a direct path is asked where it was."""
WONDER_S, DEAD_S = 0.75, 2.0
"""A direct path on which we send and hear nothing for so long: the peer is asked; the path is given up."""
RELAY_DEAD_S = 3.0
"""The same over a relay, which may hold much back: all are connected to anew."""
RELAYS_AGAIN_S = 10.0
NAME_AGAIN_S = 2.0
"""While a peer is silent over relays, its toxcore and ours are told again so often where they may meet."""
LOST_AGAIN_S = 4.0
"""Outside the Tox network, peers are asked so often where they were: it may be back."""
LISTEN_S = 0.5
ANSWERED_S = 0.5
"""By then who has moved has had our answer, or it gets lost."""
RELAY_ANSWERED_S = 1.0
ASKS = 4
"""Times that a peer is asked for its DHT key, after its status message."""
ASK_AGAIN_S = 2.0
ANSWERS_PER_S, ANSWERS_AT_ONCE = 4, 8
MAPPINGS_PER_S, MAPPINGS_AT_ONCE = 1 / 60, 3
"""Of endpoints that a peer names; each costs at most SEEK_S / SEEK_AGAIN_S datagrams of 113 bytes."""
STRANGERS_PER_S, STRANGERS_AT_ONCE = 4, 16
"""So often an unknown sender of what peers send is asked: it may be a peer that has not told its key yet."""


@dataclass(slots=True)
class _Known:
    """What is known of a peer of ours."""

    dht_key: bytes | None = None
    asks: int = ASKS
    asked_s: float = float("-inf")
    tell_until_s: float = float("-inf")
    told_s: float | None = None
    """When it first said that it has moved, of late."""
    seen: dict[bool, tuple[str, int]] = field(default_factory=dict)
    """Where somebody used its DHT key last, for IPv4 (False) and IPv6 (True). Unproven."""
    mapped: tuple[str, int] | None = None
    """Where its router passes on what comes for it, as the peer says (mapped.py). Unproven."""
    seek_until_s: float = float("-inf")
    sought_s: float = float("-inf")
    silence: Silence = field(default_factory=Silence)
    listened_s: float = float("-inf")
    wondered_s: float = float("-inf")
    named_s: float = float("-inf")
    answers: RateLimit = field(default_factory=lambda: RateLimit(ANSWERS_PER_S, ANSWERS_AT_ONCE))
    passes: RateLimit = field(default_factory=lambda: RateLimit(PASSES_PER_S, PASSES_AT_ONCE))
    sightings: RateLimit = field(default_factory=lambda: RateLimit(1, 4))
    mappings: RateLimit = field(default_factory=lambda: RateLimit(MAPPINGS_PER_S, MAPPINGS_AT_ONCE))


class Recovery:
    """One for each node, for as long as the node lives. `mark`: that of toxcore's sockets (make_tox)."""

    def __init__(self, node: Node, mark: int = 0) -> None:
        self.dead_s: Callable[[Peer], float] = lambda _: DEAD_S
        """How long a peer on a direct path may be silent before all paths are given up for its sake."""
        self._node = node
        self._mark = mark
        self._known: dict[bytes, _Known] = {}
        self._passed_s = float("-inf")
        self._reconnected_s = float("-inf")
        self._lost_s = node.now()
        self._ticked_s = node.now()
        self._awake_again = False
        self.after_move: list[Callable[[], None]] = []
        """Called when this machine has another address."""
        self.without_relay: list[Callable[[Peer], None]] = []
        """Called again and again while a peer without a direct path is silent."""
        self._lines = RateLimit(1 / 60, 5)
        self._strangers = RateLimit(STRANGERS_PER_S, STRANGERS_AT_ONCE)
        self._watch = SourceWatch(self._places, self.moved, mark)
        node.subscribe(self._on_event)
        node.on_packet_id(whereabouts.PACKET_ID, self._receive)
        node.each_tick.append(self._tick)
        node.turns.after_turn.append(self._look_around)
        node.after_nap.append(self.woke)

    def close(self) -> None:
        """Idempotent."""
        self._watch.close()

    def dht_key(self, peer: Peer) -> bytes | None:
        """The one that the peer has told us."""
        known = self._known.get(peer.public_key)
        return None if known is None else known.dht_key

    # -- what has happened ---------------------------------------------------------------------

    def woke(self, slept_s: float) -> None:
        """This machine has slept, or this process has stood still, for so long."""
        self._log("awake again after %d s: reconnecting", slept_s)
        if slept_s >= PERHAPS_LOST_S:
            # what peers sent before they gave us up must not keep our side of the connection alive
            drop_received(self._node.tox)
            reconnect_relays(self._node.tox, lambda local, relay: True)
            self._node.turns.fast_clock.cancel_burst()
            unseen_s = slept_s - (self._node.now() - self._ticked_s)
            self._node.turns.pass_time(CONNECTION_S if slept_s >= CONNECTION_S else unseen_s)
        self._awake_again = True  # asks when toxcore has seen the time: an answer counts for 5 s

    def moved(self) -> None:
        """We have another address."""
        self._log("this machine has another address: reconnecting")
        reconnect_relays(self._node.tox, self._is_lost)
        self._pass_path_timeout()
        self._node.turns.turn()  # toxcore sees the time: an answer counts for 5 s
        self._node.tox.announce_again()
        self._reach()
        now = self._node.now()
        for known in self._known.values():
            known.tell_until_s = now + TELL_S
            known.asked_s = float("-inf")
        self._look_after_peers(now)
        for call in self.after_move:
            call()

    def _peer_moved(self, peer: Peer, known: _Known) -> None:
        """What we send to its old address gets lost, as a relay or repetition tells."""
        now = self._node.now()
        if known.told_s is None or now - known.told_s > TELL_S:
            known.told_s = now
            self._seek(known)
        answers_get_lost = peer.source is None or now - known.told_s >= ANSWERED_S
        if peer.connection is Connection.UDP and answers_get_lost:
            self._pass_path_timeout(known)
        elif peer.connection is Connection.TCP and now - known.told_s >= RELAY_ANSWERED_S:
            self._reconnect_relays(known)

    def _reconnect_relays(self, peer: _Known) -> bool:
        """All of them, for that peer's sake. Whether it was not so lately."""
        now = self._node.now()
        may = now - self._reconnected_s >= RELAYS_AGAIN_S and peer.passes.take(now)
        if may:
            self._reconnected_s = now
            reconnect_relays(self._node.tox, lambda local, relay: True)
        return may

    def _pass_path_timeout(self, peer: _Known | None = None) -> bool:
        """For that peer's sake, None: for ours. Whether it was not so lately."""
        now = self._node.now()
        may = now - self._passed_s >= PATH_AGAIN_S and self._node.turns.may_pass_time
        may = may and (peer is None or peer.passes.take(now))
        if may:
            self._passed_s = now
            self._node.turns.pass_time(PATH_S)
        return may

    def mapped(self, peer: Peer, endpoint: tuple[str, int] | None) -> None:
        """The peer says that what comes to this endpoint reaches it; None: nothing does any more."""
        known, now = self._known.setdefault(peer.public_key, _Known()), self._node.now()
        is_sought = endpoint == known.mapped and now < known.seek_until_s
        if endpoint is None:
            known.mapped = None
        elif not is_sought and known.mappings.take(now):
            known.mapped = endpoint
            if peer.connection is not Connection.UDP:
                self._seek(known)

    def ask(self, peer: Peer) -> None:
        """Asks the peer for a sign of life."""
        self._send(peer, asks=True)

    def places(self, peer: Peer) -> set[tuple[str, int]]:
        """Where the peer was, or somebody used its DHT key."""
        known = self._known.get(peer.public_key)
        return {*peer.places.values(), *(known.seen.values() if known else ())}

    def ask_at(self, peer: Peer, place: tuple[str, int]) -> None:
        """Has toxcore look for the peer there."""
        dht_key = self.dht_key(peer)
        if dht_key is not None:
            self._ask_at(*place, dht_key)

    def _reach(self) -> None:
        """Asks bootstrap nodes, and peers where they were."""
        self._node.bootstrap_now()
        self._seek_all()

    def _seek_all(self) -> None:
        for known in self._known.values():
            self._seek(known)

    def _seek(self, known: _Known) -> None:
        known.seek_until_s = self._node.now() + SEEK_S
        known.sought_s = float("-inf")

    def _ask_at(self, host: str, port: int, dht_key: bytes) -> None:
        with contextlib.suppress(ToxvpnError):
            self._node.tox.bootstrap(host, port, dht_key)

    def _is_lost(self, local: str, relay: str) -> bool:
        return source_of(relay, self._mark) not in (local, None)

    def _places(self) -> Iterator[str]:
        for peer in self._node:
            for host, _ in peer.places.values():
                yield host

    def _log(self, text: str, *arguments: object) -> None:
        if self._lines.take(self._node.now()):
            log.info(text, *arguments)

    # -- whereabouts ---------------------------------------------------------------------------

    def _tick(self, now: float) -> None:
        self._ticked_s = now
        if self._awake_again:
            self._awake_again = False
            self._reach()
        if self._node.connection is not Connection.NONE:
            self._lost_s = now
        elif now - self._lost_s >= LOST_AGAIN_S:
            self._lost_s = now
            self._seek_all()
        self._look_after_peers(now)

    def _look_around(self) -> None:
        """After each turn. Who asks us from a new place sends everything from there once our answer has come.

        Until the owner of the key has proved to be there, our toxcore takes none of that. So it is asked now.
        """
        for sighting in self._node.tox.sightings():
            self._seen(*sighting, self._node.now())

    def _look_after_peers(self, now: float) -> None:
        for peer in self._node:
            if known := self._known.get(peer.public_key):
                if now < known.seek_until_s:
                    self._ask_where_it_was(peer, known, now)
                if peer.online:
                    self._tell(peer, known, now)
                if peer.online and now - known.listened_s >= LISTEN_S:
                    known.listened_s = now
                    self._listen(peer, known, now)

    def _ask_where_it_was(self, peer: Peer, known: _Known, now: float) -> None:
        asked_once = known.sought_s > float("-inf")
        if known.dht_key is None or (asked_once and peer.connection is Connection.UDP):
            return
        if now - known.sought_s >= SEEK_AGAIN_S:
            known.sought_s = now
            mapped = () if known.mapped is None else (known.mapped,)
            for host, port in {*peer.places.values(), *known.seen.values(), *mapped}:
                self._ask_at(host, port, known.dht_key)

    def _listen(self, peer: Peer, known: _Known, now: float) -> None:
        """A router between may have moved, or the peer without telling, or a relay is gone."""
        silent_s = known.silence.lasts_s(*self._node.traffic(peer), now)
        if silent_s < WONDER_S or known.dht_key is None:
            return
        is_direct = peer.connection is Connection.UDP
        if not is_direct and silent_s >= RELAY_DEAD_S and now - known.named_s >= NAME_AGAIN_S:
            known.named_s = now
            for call in self.without_relay:
                call(peer)
        if self._gives_up(peer, known, silent_s, now):
            if is_direct:
                peer.log(log, logging.INFO, "no answer on the direct path: looking for another")
                self._node.tox.announce_again()  # perhaps a router between has moved
            else:
                peer.log(log, logging.INFO, "no answer over the relay: looking for another")
            self._seek(known)
            known.tell_until_s = now + TELL_S
        elif now - known.wondered_s >= WONDER_S:
            known.wondered_s = now
            self._send(peer, asks=True)

    def _gives_up(self, peer: Peer, known: _Known, silent_s: float, now: float) -> bool:
        if peer.connection is Connection.UDP:
            return silent_s >= self.dead_s(peer) and self._pass_path_timeout(known)
        if reconnect_dead_relays(self._node.tox):
            return True
        return silent_s >= RELAY_DEAD_S and self._relays_are_silent(now) and self._reconnect_relays(known)

    def _relays_are_silent(self, now: float) -> bool:
        """No peer was heard over any of them of late: so nobody is interrupted."""
        heard = (
            self._known[peer.public_key].silence.heard_s for peer in self._node if self._is_relayed(peer)
        )
        return all(now - heard_s >= DEAD_S for heard_s in heard)

    def _is_relayed(self, peer: Peer) -> bool:
        return peer.connection is Connection.TCP and peer.public_key in self._known

    def _tell(self, peer: Peer, known: _Known, now: float) -> None:
        moved = now < known.tell_until_s
        if moved and now - known.asked_s >= TELL_AGAIN_S:
            self._send(peer, asks=True, moved=True)
            known.asked_s = now
        elif not moved and known.dht_key is None and known.asks and now - known.asked_s >= ASK_AGAIN_S:
            self._send(peer, asks=True)
            known.asks -= 1
            known.asked_s = now

    def _seen(self, dht_key: bytes, host: str, port: int, now: float) -> None:
        """Somebody asks us from there with that key; only its owner can answer when we ask back."""
        owners = [known for known in self._known.values() if known.dht_key == dht_key]
        for known in owners:
            known.seen[":" in host] = host, port
        if (owners[0].sightings if owners else self._strangers).take(now):
            self._ask_at(host, port, dht_key)

    def _send(self, peer: Peer, *, asks: bool = False, moved: bool = False) -> None:
        told = Whereabouts(self._node.tox.dht_id, asks, moved)
        self._node.tox.send_lossy(peer.number, whereabouts.encode(told))

    def _receive(self, peer: Peer, packet: bytes) -> None:
        told = whereabouts.decode_untrusted(packet)
        if told is None:
            return
        known = self._known.setdefault(peer.public_key, _Known())
        self._learn(known, told.dht_key)
        self._node.heard(peer)
        if told.moved:
            self._peer_moved(peer, known)
        if not told.asks:
            known.tell_until_s = float("-inf")
        elif known.answers.take(self._node.now()):
            if peer.connection is Connection.TCP:  # perhaps it hears nothing of us, while we hear it
                reconnect_dead_relays(self._node.tox)
            self._send(peer)

    def _learn(self, known: _Known, dht_key: bytes | None) -> None:
        """A peer may also claim the key of another, which stays watched for that one."""
        before = known.dht_key
        if before == dht_key:
            return
        known.dht_key = dht_key
        known.seen.clear()
        if before is not None and all(each.dht_key != before for each in self._known.values()):
            self._node.tox.forget_key(before)
        if dht_key is not None:
            self._node.tox.watch_key(dht_key)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, PeerRemoved):
            if known := self._known.pop(event.peer.public_key, None):
                self._learn(known, None)
        elif isinstance(event, PeerStatus):
            if statusmessage.decode(event.text).toxvpn is not None:
                known = self._known.setdefault(event.peer.public_key, _Known())
                known.asks = ASKS
                self._tell(event.peer, known, self._node.now())
        elif isinstance(event, PeerConnection):
            self._watch.remember()
