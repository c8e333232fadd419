"""Finds other toxvpn in the local network: greets them by multicast, and asks whom it hears for Tox's DHT.

Two machines of one LAN so meet without the Internet, and directly rather than over a relay. Greetings go out
at the start, after a move, and when a peer is not reached directly; then ever more seldom.

Where UDP to the Internet is blocked, neither is done: libtoxcore looks for friends over the nodes of the DHT
as soon as it knows one, even in the local network, and would find those alone that are here. Neighbours:
wire/reach/hello.py; recovery.py, which notices moves.
"""

import asyncio
import contextlib
import fcntl
import socket
from collections import Counter
from collections.abc import Iterator
from ipaddress import ip_address
from struct import Struct

from ..._native.results import Connection
from ...errors import ToxvpnError
from ...wire.ratelimit import RateLimit
from ...wire.reach.hello import GREETING_BYTES, Greeting, decode_untrusted, encode, is_local
from ..events import Event, PeerConnection, SelfConnection
from ..node import Node
from .relays import relay_hosts

GROUP, PORT = "239.255.116.120", 19445
"""Of the local scope (RFC 2365), and no port that toxvpn takes for anything else."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 64.0
HEARD_PER_S, HEARD_AT_ONCE = 4, 32
"""Each costs a datagram of toxcore's."""
MOST_AT_ONCE = 64
ALONE_S = 5.0
"""After so long without UDP or a relay there is no Internet here; a relay answers sooner."""

SIOCGIFFLAGS, SIOCGIFADDR = 0x8913, 0x8915  # linux/sockios.h
IFF_UP, IFF_BROADCAST, IFF_MULTICAST = 0x1, 0x2, 0x1000  # linux/if.h
_FLAGS = Struct("16sH22x")  # struct ifreq
_ADDRESS = Struct("16sHH4s16x")  # struct ifreq with struct sockaddr_in
_MEMBER = Struct("@4s4si")  # struct ip_mreqn


class Greeter:
    """One for each node, for as long as the node lives."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._loop = asyncio.get_running_loop()
        self.drops: Counter[str] = Counter()
        """Datagrams that came to the group and led to nothing, by reason."""
        self._heard = RateLimit(HEARD_PER_S, HEARD_AT_ONCE)
        self._due_s = float("-inf")
        self._pause_s = FIRST_PAUSE_S
        self._best = Connection.NONE
        self._relayed = False
        self._here_s = node.now()
        self._socket: socket.socket | None = None
        with contextlib.suppress(OSError):  # without multicast here, peers are found in other ways
            self._socket = _listening()
            self._loop.add_reader(self._socket, self._listen)
        node.each_tick.append(self._tick)
        node.subscribe(self._on_event)

    def close(self) -> None:
        """Idempotent."""
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def moved(self) -> None:
        """Begin anew: this may be another network."""
        self._best, self._relayed, self._here_s = Connection.NONE, False, self._node.now()
        self._again()

    def _again(self) -> None:
        self._due_s = min(self._due_s, self._node.now() + FIRST_PAUSE_S)
        self._pause_s = FIRST_PAUSE_S

    def _on_event(self, event: Event) -> None:
        if isinstance(event, PeerConnection) and event.peer.connection is not Connection.UDP:
            self._again()
        elif isinstance(event, SelfConnection):
            self._best = max(self._best, event.connection)

    def _may_meet(self) -> bool:
        """Whether UDP reaches the Internet from here, or nothing does."""
        if self._best is Connection.TCP and not self._relayed:
            # toxcore says TCP, too, while it knows nodes of the local network alone, as those that we greeted
            self._relayed = any(map(_is_outside, relay_hosts(self._node.tox)))
        is_alone = self._node.now() - self._here_s >= ALONE_S
        return self._best is Connection.UDP or (not self._relayed and is_alone)

    def _tick(self, now: float) -> None:
        if now >= self._due_s and self._may_meet():
            self._due_s = now + self._pause_s
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
            self._greet()

    def _greet(self) -> None:
        if self._socket is None:
            return
        told = encode(Greeting(self._node.tox.dht_id, self._node.tox.udp_port))
        for interface in _local_interfaces(self._socket):
            member = _MEMBER.pack(socket.inet_aton(GROUP), bytes(4), interface)
            with contextlib.suppress(OSError):  # EADDRINUSE: it is one already
                self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
            with contextlib.suppress(OSError):  # the interface is going
                self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, member)
                self._socket.sendto(told, (GROUP, PORT))

    def _listen(self) -> None:
        assert self._socket is not None
        with contextlib.suppress(OSError):  # BlockingIOError: no more
            for _ in range(MOST_AT_ONCE):
                datagram, (host, _port) = self._socket.recvfrom(GREETING_BYTES + 1)
                self._hear(datagram, host)

    def _hear(self, datagram: bytes, host: str) -> None:
        greeting = decode_untrusted(datagram)
        if greeting is None:
            self.drops["malformed"] += 1
        elif not is_local(host):
            self.drops["not_local"] += 1
        elif greeting.dht_key == self._node.tox.dht_id:
            pass  # our own
        elif not self._heard.take(self._node.now()):
            self.drops["too_many"] += 1
        elif not self._may_meet():
            self.drops["not_now"] += 1
        else:
            with contextlib.suppress(ToxvpnError):  # a key that is none
                self._node.tox.bootstrap(host, greeting.port, greeting.dht_key)


def _is_outside(host: str) -> bool:
    """Neither in the local network nor, as a relay of our own, on this machine."""
    return not is_local(host) and not ip_address(host).is_loopback


def _listening() -> socket.socket:
    """Bound to the group, so that nothing comes in that was sent to this machine alone. Raises OSError."""
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        opened.setblocking(False)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one for each toxvpn here
        opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
        opened.bind((GROUP, PORT))
    except OSError:
        opened.close()
        raise
    return opened


def _local_interfaces(asked: socket.socket) -> Iterator[int]:
    """The indexes of those that are up, in a local network, and carry multicast; tunnels are none."""
    for index, name in socket.if_nameindex():
        with contextlib.suppress(OSError):  # it has gone, or has no IPv4 address
            _, flags = _FLAGS.unpack(fcntl.ioctl(asked, SIOCGIFFLAGS, _FLAGS.pack(name.encode(), 0)))
            wanted = IFF_UP | IFF_BROADCAST | IFF_MULTICAST
            if flags & wanted == wanted:
                found = fcntl.ioctl(
                    asked, SIOCGIFADDR, _ADDRESS.pack(name.encode(), socket.AF_INET, 0, bytes(4))
                )
                if is_local(socket.inet_ntoa(_ADDRESS.unpack(found)[3])):
                    yield index
