from typing_extensions import Buffer, disjoint_base

from .flaws import Flaw
from .handler import Handler
from .net.netio import DetourTraffic
from .options import Options as Options
from .results import Connection, SendResult

FLAW: Flaw | None
"""The flaw of the loaded libtoxcore; `netio.shield()` says whether the shield against it is in force."""
PATCHED: str | None
"""The names of the flaws that a patch has fixed in it, with spaces between."""

def version() -> str: ...
def file() -> str: ...

@disjoint_base
class Tox:
    """One libtoxcore handle. Every method but `close` raises ClosedError once closed."""

    handler: Handler | None

    def __init__(
        self, options: Options, savedata: bytes | None = None, handler: Handler | None = None
    ) -> None:
        """Raise SavedataError (cannot be loaded), PortError (no port is free) or ToxError (tox_new)."""

    def close(self) -> None: ...
    def iterate(self) -> None:
        """Call tox_iterate; raise the first exception that a callback raised.

        As soon as the UDP socket is empty, the datapaths write what arrived for them, and send what the
        kernel answers at once.
        """

    def iteration_interval_ms(self) -> int: ...
    def cork(self) -> None: ...
    def uncork(self) -> None: ...
    def flush(self) -> None:
        """Send what has waited for room, as far as there is room now, without a turn of toxcore."""

    @property
    def congested(self) -> bool:
        """Whether the kernel's send queue is full."""

    room_asked: bool
    """Set it when `flush` will be called once a socket is writable."""

    @property
    def wants_room(self) -> bool:
        """Whether something waits for room in the socket, and `room_asked` is not set."""

    @property
    def streams_held(self) -> bool:
        """Whether packets for a TCP relay wait until it has room, of which nothing wakes: then flush again
        soon."""

    @property
    def receive_pending(self) -> bool:
        """Whether received datagrams wait in our own buffer: then iterate again without waiting for the
        socket."""

    @property
    def quiet(self) -> bool:
        """Whether there is nothing for Python to do after the last `iterate`.

        The handler was not called, nothing was sighted, the sockets are those that `sockets` last returned,
        nothing received is unread, nothing waits for a relay, and nothing wants room that was not asked for.
        """

    def set_clock_rate(self, rate: float) -> None:
        """Set how many of toxcore's seconds pass in one real second from now on."""

    def step_clock(self, step_s: float) -> bool:
        """Put toxcore's clock ahead by `step_s` (at most 1 s) at once; it then stands until real time catches
        up.

        False when the hook of the clock is not in force (netio.pyx): then nothing has changed.
        """

    def jump_clock(self, jump_s: float) -> None:
        """Put toxcore's clock ahead by `jump_s`, at most 60 s, for good.

        Nothing changes when the hook of the clock is not in force.
        """

    @property
    def source(self) -> tuple[str, int] | None:
        """In a callback: the address and port that the packet came from; None when through a relay."""

    def watch_key(self, dht_key: bytes) -> bool:
        """Have `sightings` tell from where the owner of this DHT key asks for nodes; False when too many are
        watched.
        """

    def forget_key(self, dht_key: bytes) -> None: ...
    def sightings(self) -> list[tuple[bytes, str, int]]:
        """DHT keys that are watched, each with an address and port that it speaks from now. Unproven.

        Each place is told once. Of a key that is watched only now, also where it spoke from a little earlier.
        Also any key that spoke from where toxcore knows no peer, and that sends as a connected peer does.
        """

    def set_detour(self, slot: int, via: int, index: int, dht_key: bytes) -> bool:
        """Make slot 0 to 127 the way to a peer through the friend of number `via`, who calls it `index`.

        `dht_key`: the peer's own. It counts from 0 again. False where the hook `detour` is not in force.
        """

    def clear_detour(self, slot: int) -> None: ...
    def open_detour(self, slot: int, open_s: float) -> tuple[str, int] | None:
        """For so long, toxcore may ask the peer for nodes there. Returns where: bootstrap from that place."""

    def straighten_detour(self, slot: int, host: str, port: int, straight_s: float) -> bool:
        """For so long, what toxcore sends into the detour goes straight to that address of the peer's.

        `open_detour` ends that. False: the host is no address.
        """

    def detour_traffic(self, slot: int) -> DetourTraffic | None: ...
    def relay_for(self, members: dict[int, int]) -> bool:
        """From now on these friends, by index and number, at most 64, reach each other through us.

        False where the hook `detour` is not in force.
        """

    def overheard(self) -> list[tuple[bytes, tuple[str, int], tuple[str, int]]]:
        """What DHT nodes say of keys that are watched: the key, the IPv4 address and port that they see its
        owner at, and where the node is. Unproven; told once. Needs netio's `punch`.
        """

    def open_door(self, fd: int, host: str, port: int) -> bool:
        """Take this bound UDP socket over: what is sent to that IPv4 address and port leaves by it, and what
        comes in by it from there is toxcore's. False: nothing has changed.
        """

    def close_door(self, fd: int) -> None:
        """Close such a socket."""

    @property
    def answers(self) -> int:
        """How often the network has answered so far, modulo 2**32.

        By datagrams that seem to answer a request for nodes, and packets of relays but our own. Needs netio's
        `batch`, and `streams`.
        """

    def know_twin(self, ipv4: str, ipv6: str) -> bool:
        """A node has both addresses: without a way to the one, its relay is connected to at the other.

        False: they are no addresses, or too many are known. Needs netio's `sockets`.
        """

    def set_nat64(self, prefix: str) -> bool:
        """What this network puts before an IPv4 address to reach it by IPv6, as `64:ff9b::`; "": nothing.

        The prefix has 96 bits. False: it is no such prefix, and nothing has changed. Needs netio's `sockets`
        for relays, and `batch` for datagrams.
        """

    def rank_relays(self, quick: dict[int, bool]) -> None:
        """Whether each descriptor leads to a quick relay, for who is called next. Needs netio's `quick`."""

    def call_relays(self, number: int) -> bool:
        """What goes to that friend is left to its quick relays from now on, while they take it.

        False: it is connected to none. Nothing is sent. Needs netio's `quick`.
        """

    def announce_again(self) -> int:
        """Send the announcements of the last 150 s once more: this machine has another address.

        Returns how many datagrams, at most 48. 0 where netio's `sockets` and `reunion` are not in force.
        """

    @property
    def sockets_version(self) -> int: ...
    def sockets(self) -> list[tuple[int, bool]]:
        """The descriptors of toxcore's sockets, each with whether it is a datagram socket."""

    def savedata(self) -> bytes: ...
    @property
    def address(self) -> bytes:
        """The Tox ID: 38 bytes (tox_self_get_address)."""

    @property
    def public_key(self) -> bytes: ...
    @property
    def dht_id(self) -> bytes:
        """The temporary DHT key, 32 bytes, which others need to bootstrap from this node."""

    def introductions(self, public_key: bytes, content: bytes) -> list[bytes]:
        """Datagrams that tell this handle `content` as if the friend with that key had written it.

        `content`: wire/reach/introduction.py, at most 512 bytes. They are for the handle's own UDP port:
        toxcore can open one of them, and drops the others. Empty where the hook `reunion` is not in force.
        """

    nospam: int
    @property
    def udp_port(self) -> int:
        """0 when there is none."""

    @property
    def tcp_port(self) -> int:
        """0 when there is none."""

    @property
    def connection(self) -> Connection: ...
    name: bytes
    status_message: bytes
    def bootstrap(self, host: str, port: int, public_key: bytes) -> None:
        """Bootstrap from a node. Raises ToxError.

        `host` should be a numeric address: toxcore resolves a name by a blocking call.
        """

    def add_tcp_relay(self, host: str, port: int, public_key: bytes) -> None: ...
    def friend_add(self, address: bytes, message: bytes) -> int:
        """Send a friend request; return the friend number (tox_friend_add). Raises UsageError or ToxError."""

    def friend_add_norequest(self, public_key: bytes) -> int: ...
    def friend_delete(self, number: int) -> bool: ...
    def friend_list(self) -> list[int]: ...
    def friend_by_public_key(self, public_key: bytes) -> int | None: ...
    def friend_public_key(self, number: int) -> bytes | None: ...
    def friend_connection(self, number: int) -> Connection: ...
    def accept_packets(self, packet_id: int) -> None:
        """Pass custom packets of this ID to the handler, unless a datapath takes them.

        Packets of other IDs are only counted and wake nobody: any peer may send them.
        """

    unaccepted_packets: int
    """Number of custom packets that came with an ID that nobody accepts."""

    def send_lossless(self, number: int, data: Buffer) -> SendResult:
        """Send 1 to 1373 bytes, of which the first is 160 to 191 (tox_friend_send_lossless_packet)."""

    def send_lossy(self, number: int, data: Buffer) -> SendResult:
        """Send 1 to 1373 bytes, of which the first is 192 to 254 (tox_friend_send_lossy_packet)."""

    def send_lossy_unfragmented(self, number: int, data: Buffer) -> SendResult:
        """Send as `send_lossy` does, but let the packet get lost where its datagram would have to be
        fragmented.

        QUEUE_FULL when it would have to wait for room.
        """
