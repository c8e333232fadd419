from typing_extensions import Buffer, disjoint_base

from .flaws import Flaw
from .handler import Handler
from .options import Options as Options
from .results import Connection, SendResult

FLAW: Flaw | None
"""What is wrong with the loaded libtoxcore; `netio.shield()` tells whether it is kept from harm."""

def version() -> str: ...

@disjoint_base
class Tox:
    """One libtoxcore handle. Every method but `close` raises ClosedError once closed."""

    handler: Handler | None

    def __init__(
        self, options: Options, savedata: bytes | None = None, handler: Handler | None = None
    ) -> None:
        """Raises SavedataError (not loadable), PortError (none free), ToxError (tox_new)."""

    def close(self) -> None: ...
    def iterate(self) -> None:
        """tox_iterate; raises the first exception that a callback raised.

        As soon as the UDP socket is empty, a datapath writes what came for it and sends what the kernel
        answers at once.
        """

    def iteration_interval_ms(self) -> int: ...
    def cork(self) -> None: ...
    def uncork(self) -> None: ...
    def flush(self) -> None:
        """Sends what has waited for room, as far as there is some, without a turn of toxcore."""

    @property
    def congested(self) -> bool:
        """The kernel's send queue is full."""

    room_asked: bool
    """Somebody will call `flush` when a socket is writable."""

    @property
    def wants_room(self) -> bool:
        """Something waits for room in the socket, and nobody has asked for it."""

    @property
    def receive_pending(self) -> bool:
        """Datagrams wait in our own buffer: iterate again without waiting for the socket."""

    @property
    def quiet(self) -> bool:
        """Since the last `iterate` began: no call of the handler, and nothing below that waits for anybody.

        The sockets are those that `sockets` last told of, nothing is unread, and who wants room has asked.
        """

    def set_clock_rate(self, rate: float) -> None:
        """How many of toxcore's seconds pass in one of ours from now on."""

    def step_clock(self, step_s: float) -> bool:
        """toxcore's clock goes ahead by so much (at most 1 s) at once, then stands until it is as late.

        False: its clock is not ours (netio.py), nothing has changed.
        """

    @property
    def sockets_version(self) -> int: ...
    def sockets(self) -> list[tuple[int, bool]]:
        """toxcore's own descriptors, each with whether it is a datagram socket."""

    def savedata(self) -> bytes: ...
    @property
    def address(self) -> bytes:
        """The Tox ID: 38 bytes (tox_self_get_address)."""

    @property
    def public_key(self) -> bytes: ...
    @property
    def dht_id(self) -> bytes:
        """The temporary DHT key, 32 bytes, by which others can bootstrap from this node."""

    nospam: int
    @property
    def udp_port(self) -> int:
        """0 where there is none."""

    @property
    def tcp_port(self) -> int:
        """0 where there is none."""

    @property
    def connection(self) -> Connection: ...
    name: bytes
    status_message: bytes
    def bootstrap(self, host: str, port: int, public_key: bytes) -> None:
        """`host` should be a numeric address: a name is resolved by a blocking call. Raises ToxError."""

    def add_tcp_relay(self, host: str, port: int, public_key: bytes) -> None: ...
    def friend_add(self, address: bytes, message: bytes) -> int:
        """The friend number (tox_friend_add). Raises UsageError or ToxError by cause."""

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
        """1 to 1373 bytes, the first 160 to 191 (tox_friend_send_lossless_packet)."""

    def send_lossy(self, number: int, data: Buffer) -> SendResult:
        """1 to 1373 bytes, the first 192 to 254 (tox_friend_send_lossy_packet)."""

    def send_lossy_unfragmented(self, number: int, data: Buffer) -> SendResult:
        """As `send_lossy`, but on a path that is too narrow for its datagram it gets lost.

        At most 1373 bytes. QUEUE_FULL when it would have to wait for room.
        """
