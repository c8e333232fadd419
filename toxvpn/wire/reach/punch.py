"""Getting through a router that gives each destination another port, to one that gives one port for all.

Who is behind the second sees that of the first, and asks its peer to open ports. The peer opens many sockets
and sends from each to the other's port; so its router has as many ports open for it. It says so, over the
relay that both are on, and the other sends to ports at random until one of them is open. With 256 of 64512
ports open, 1024 tries fail once in 59 times. Sans-IO; docs/wire-format.md §12; neighbour: tox/reach/punch.py.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address
from random import Random
from struct import Struct

PACKET_ID = 207
TOKEN_BYTES = 16
PROBE_ID = 0xFB
"""Of datagrams; libtoxcore has none of that kind, and drops it."""
PORTS = range(1024, 65536)
OPEN, TRIES = 256, 1024
LATEST = 3
FRESH_S = 120.0
MOST_TELLERS = 32
_FORM = Struct(f"!BB{TOKEN_BYTES}s")  # packet ID, whether ports are open, token


@dataclass(frozen=True, slots=True)
class OpenPorts:
    """The sender's router has ports open now; a probe for them holds `token`. None: please open yours."""

    token: bytes | None


def encode(opened: OpenPorts) -> bytes:
    """18 bytes."""
    return _FORM.pack(PACKET_ID, opened.token is not None, opened.token or bytes(TOKEN_BYTES))


def decode_untrusted(packet: bytes) -> OpenPorts | None:
    """The content of a packet with our ID; None when its size is wrong or it says something unknown."""
    if len(packet) != _FORM.size:
        return None
    _, is_open, token = _FORM.unpack(packet)
    return OpenPorts(token if is_open else None) if is_open in (0, 1) else None


def probe(token: bytes = b"") -> bytes:
    """The datagram that finds an open port. Without a token it opens one."""
    return bytes([PROBE_ID]) + token


def ports_to_try(random: Random) -> Iterator[int]:
    """TRIES different ports, in any order."""
    return iter(random.sample(PORTS, TRIES))


@dataclass(frozen=True, slots=True)
class Mapping:
    """What a router makes of a UDP port behind it: its address, and one port for all; None: one for each."""

    host: str
    port: int | None


class Views:
    """Where DHT nodes see one node. Anybody may tell anything, so it takes several of different addresses."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[tuple[str, int], float]] = {}

    def note(self, teller: str, place: tuple[str, int], now: float) -> None:
        """The last one that a teller told counts. Who has an IPv6 address has a whole /64 of them."""
        if ":" in teller:
            teller = IPv6Address(teller).packed[:8].hex()
        self._told.pop(teller, None)
        if len(self._told) >= MOST_TELLERS:
            del self._told[next(iter(self._told))]
        self._told[teller] = place, now

    def latest(self) -> set[tuple[str, int]]:
        """What the last LATEST of them told. After a move, most still tell the place before."""
        return {place for place, _ in list(self._told.values())[-LATEST:]}

    def mapping(self, now: float) -> Mapping | None:
        """None: not known."""
        places = [place for place, told_s in self._told.values() if now - told_s < FRESH_S]
        hosts = Counter(host for host, _ in places)
        if not hosts:
            return None
        [(host, agree)] = hosts.most_common(1)
        [(port, same)] = Counter(port for at, port in places if at == host).most_common(1)
        if same >= 2 and 2 * same > agree:
            return Mapping(host, port)
        return Mapping(host, None) if agree >= 3 and 2 * same <= agree else None
