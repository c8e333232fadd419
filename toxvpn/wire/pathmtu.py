"""Finds how large a packet the path to one peer carries, by asking: routers cannot be trusted to say so.

In: times, and what the peer acknowledges. Out: probes to be sent, and `packet_bytes`, the largest custom
packet that arrives. Sans-IO; neighbour: tox/mtuprober.py, which sends and receives. Source: RFC 8899
(packetization layer path MTU discovery for datagrams), docs/wire-format.md §6.

A search sends the largest packet, twice if need be. If it is acknowledged, as it nearly always is, the search
is over. If not, packets of each smaller size follow, until one is acknowledged, and the larger ones are sent
once more; the largest one that arrived is what the path carries. From then on a packet of that size is sent
now and then: when it is lost repeatedly, the path has changed, and a new search begins. If a peer
acknowledges nothing, the last known size stays.
"""

from dataclasses import dataclass
from enum import Enum, IntEnum
from struct import Struct

from .ip import CUSTOM_PACKET_BYTES

PACKET_ID = 202
_HEADER = Struct("!BBHH")  # packet ID, kind, token, size in bytes of the probe
ACKNOWLEDGEMENT_BYTES = _HEADER.size

LADDER = (*range(CUSTOM_PACKET_BYTES, 1200, -8), 1200, 1100, 1000, 900, 800, 700, 600, 500)
"""The sizes to try, the largest first.

1200 bytes fit into an IPv6 path of 1280: 40 + 8 bytes of headers and 27 of toxcore's are added.
500 bytes fit into 576, which every IPv4 host must accept.
"""
ROUNDS_S = (0.5, 0.5, 1.0, 2.0)
"""How long each round waits for acknowledgements, from its last probe on."""
AT_ONCE = 2
"""Probes sent together. A slow link has room for few packets, and would drop the rest of a burst."""
PAUSES = 40
"""After each AT_ONCE probes, a round pauses for its time in ROUNDS_S divided by this."""
LARGEST_ALONE = 2
"""Rounds with the largest probe only: one lost packet must not make a path look narrow."""
CONFIRM_S = 30.0
NO_ROOM_S = 0.25
"""How soon probes that could not be sent are tried again."""
LAST_TOKEN = 0x7FFF
"""Each round has a token of its own, so that an acknowledgement tells which probe it is for; the other half
of the numbers is for probes that measure round trips alone (tox/mtuprober.py)."""
RAISE_S = 600.0
"""A path that carries less than the largest packet is searched again (RFC 8899 §5.1.1, PMTU_RAISE_TIMER)."""


class ProbeKind(IntEnum):
    PROBE = 0
    ACKNOWLEDGEMENT = 1


@dataclass(frozen=True, slots=True)
class Probe:
    """`size_bytes`: of the whole custom packet. An acknowledgement repeats it, and the token."""

    kind: ProbeKind
    token: int
    size_bytes: int


def encode(probe: Probe) -> bytes:
    """A probe of its size, or an acknowledgement of 6 bytes."""
    packet = _HEADER.pack(PACKET_ID, probe.kind, probe.token, probe.size_bytes)
    return packet.ljust(probe.size_bytes, b"\0") if probe.kind is ProbeKind.PROBE else packet


def decode_untrusted(packet: bytes) -> Probe | None:
    """The content of a packet with our ID; None when its kind or its size is wrong."""
    if len(packet) < _HEADER.size:
        return None
    _, kind, token, size = _HEADER.unpack_from(packet)
    wanted = {ProbeKind.PROBE: size, ProbeKind.ACKNOWLEDGEMENT: _HEADER.size}.get(kind)
    if wanted != len(packet) or not LADDER[-1] <= size <= CUSTOM_PACKET_BYTES:
        return None
    return Probe(ProbeKind(kind), token, size)


def acknowledgement(probe: Probe) -> Probe:
    return Probe(ProbeKind.ACKNOWLEDGEMENT, probe.token, probe.size_bytes)


class _Phase(Enum):
    STOPPED = 0
    SEARCHING = 1
    CONFIRMING = 2
    RESTING = 3


class PathMtu:
    """The path to one peer. Each call gets `now` in seconds; after each call, send `next_probes()`."""

    def __init__(self, packet_bytes: int = CUSTOM_PACKET_BYTES) -> None:
        self.packet_bytes = packet_bytes
        self._phase = _Phase.STOPPED
        self._token = 0
        self._round = 0
        self._best = 0
        self._wanted: list[int] = []
        self._due: list[int] = []
        self._timer_s: float | None = None
        self._raise_s = 0.0

    @property
    def searching(self) -> bool:
        return self._phase is _Phase.SEARCHING

    def search(self, now: float) -> None:
        """Begins a search: the path is new, or has changed."""
        self._best = 0
        self._begin(_Phase.SEARCHING, now)

    def stop(self) -> None:
        """Stops probing, for the peer is offline. `packet_bytes` stays."""
        self._phase, self._timer_s = _Phase.STOPPED, None
        self._forget_probes()

    def next_probes(self) -> list[Probe]:
        """Returns each probe that is due once."""
        probes = [Probe(ProbeKind.PROBE, self._token, size) for size in self._due]
        self._due = []
        return probes

    def put_back(self, probes: list[Probe], now: float) -> None:
        """Takes back probes that could not be sent: due after NO_ROOM_S, and their round lasts longer."""
        self._wanted = [probe.size_bytes for probe in probes] + self._wanted
        self._timer_s = now + NO_ROOM_S

    def next_timer(self) -> float | None:
        return self._timer_s

    def acknowledged(self, token: int, size_bytes: int, now: float) -> None:
        """Late and forged ones are ignored: without a token of this search, or of a size never sent."""
        if self._phase not in (_Phase.SEARCHING, _Phase.CONFIRMING) or size_bytes not in LADDER:
            return
        if (self._token - token) & LAST_TOKEN > self._round:
            return
        self._best = max(self._best, size_bytes)
        if self._phase is _Phase.CONFIRMING:
            if size_bytes >= self.packet_bytes:
                self._rest(now)
        elif self._best == CUSTOM_PACKET_BYTES:
            self._found(now)
        else:  # do not wait for the others: larger packets are lost meanwhile
            self.packet_bytes = self._best

    def handle_timer(self, now: float) -> None:
        if self._timer_s is None or now < self._timer_s:
            return
        if self._phase is _Phase.RESTING:
            smaller = self.packet_bytes < CUSTOM_PACKET_BYTES
            if smaller and now >= self._raise_s:
                self.search(now)
            else:
                self._begin(_Phase.CONFIRMING, now)
            return
        if self._wanted:
            self._release(now)
            return
        self._round += 1
        if self._round < len(ROUNDS_S):
            self._ask(now)
        elif self._phase is _Phase.CONFIRMING:
            self.search(now)
        else:
            self._found(now)

    def _begin(self, phase: _Phase, now: float) -> None:
        self._phase, self._round = phase, 0
        self._ask(now)

    def _ask(self, now: float) -> None:
        self._token = (self._token + 1) & LAST_TOKEN
        if self._phase is _Phase.CONFIRMING:
            self._wanted = [self.packet_bytes]
        elif self._round < LARGEST_ALONE:
            self._wanted = [CUSTOM_PACKET_BYTES]
        else:
            self._wanted = list(LADDER)
        self._release(now)

    def _release(self, now: float) -> None:
        """Makes the next few probes of the round due."""
        if self._phase is _Phase.SEARCHING:  # an acknowledged probe makes smaller ones needless
            self._wanted = [size for size in self._wanted if size > self._best]
        self._due, self._wanted = self._wanted[:AT_ONCE], self._wanted[AT_ONCE:]
        wait_s = ROUNDS_S[self._round]
        self._timer_s = now + (wait_s / PAUSES if self._wanted else wait_s)

    def _forget_probes(self) -> None:
        self._due, self._wanted = [], []

    def _found(self, now: float) -> None:
        if self._best:
            self.packet_bytes = self._best
            self._raise_s = now + RAISE_S
        self._rest(now)

    def _rest(self, now: float) -> None:
        self._phase, self._timer_s = _Phase.RESTING, now + CONFIRM_S
        self._forget_probes()
