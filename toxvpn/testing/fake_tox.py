"""A Tox network in memory: handles that answer as `_native.toxcore.Tox` does, without sockets between.

Held to the same contract as the real binding (tests/_native/test_toxcore.py). A handle is woken
through a socket of its own, as the real one, so that a Node runs on it unchanged.
"""

import contextlib
import os
import secrets
import socket
from collections import deque
from collections.abc import Callable

from .._native.handler import Handler
from .._native.net.netio import DetourTraffic
from .._native.options import Options
from .._native.results import Connection, SavedataError, SendResult, error
from ..errors import ClosedError, UsageError
from ..wire.toxid import checksum

MAX_PACKET_BYTES = 1373
QUEUE_PACKETS = 4096
INTERVAL_MS = 50
"""How many lossless packets a friend's queue takes (net_crypto's is 32768)."""
SAVE_HEADER = b"fake"


class FakeNetwork:
    """Who is there. `online` False cuts everybody off, as a lost uplink would."""

    def __init__(self) -> None:
        self.members: dict[bytes, FakeTox] = {}
        self.online = True

    def set_online(self, online: bool) -> None:
        self.online = online
        for member in self.members.values():
            member.wake()


class FakeTox:
    """See `toxcore.pyi` for what each method means."""

    def __init__(
        self,
        network: FakeNetwork,
        options: Options | None = None,
        savedata: bytes | None = None,
        handler: Handler | None = None,
    ) -> None:
        self.handler = handler
        self.network = network
        self._status_message = b""
        self.name = b""
        self.connection = Connection.NONE
        self.clock_rate = 1.0
        self.clock_is_ours = True
        self.nap_s = 0.0
        """Set it to how long the next turn comes after a sleep."""
        self.steps_s: list[float] = []
        self.jumps_s: list[float] = []
        self.source: tuple[str, int] | None = ("203.0.113.9", 33445)
        self.watched: set[bytes] = set()
        self.introduced: list[tuple[bytes, bytes]] = []
        self.sighted: list[tuple[bytes, str, int]] = []
        self.detours: dict[int, tuple[int, int, bytes]] = {}
        self.detour_use: dict[int, DetourTraffic] = {}
        self.straightened: list[tuple[int, str, int, float]] = []
        self.relayed: dict[int, int] = {}
        self.told_places: list[tuple[bytes, tuple[str, int], tuple[str, int]]] = []
        self.udp: socket.socket | None = None
        """Set it to a bound socket that is to count as toxcore's own."""
        self.doors: dict[int, tuple[str, int]] = {}
        self.twins: list[tuple[str, str]] = []
        self.nat64 = ""
        self.ranks: dict[int, bool] = {}
        self.called: list[int] = []
        self.has_quick = False
        self.relay_port = 0
        self.announced_again = 0
        self.answers = 0
        self.congested = False
        self.wants_room = False
        self.room_asked = False
        self.path_bytes = MAX_PACKET_BYTES
        self.receive_pending = False
        self.streams_held = False
        self._handler_called = False
        self._accepted: set[int] = set()
        self.unaccepted_packets = 0
        self.queue_packets = QUEUE_PACKETS
        self.interval_ms = INTERVAL_MS
        self.bootstrapped: list[tuple[str, int, bytes]] = []
        if savedata is None:
            key = secrets.token_bytes(31) + bytes([secrets.randbelow(128)])  # as X25519 keys end
            savedata = SAVE_HEADER + key + secrets.token_bytes(4)
        if len(savedata) < 40 or not savedata.startswith(SAVE_HEADER):
            raise SavedataError("NEW_LOAD_BAD_FORMAT", "the savedata is damaged, or is not Tox savedata")
        self._key_and_nospam = savedata[4:40]
        self._friends: dict[int, bytes] = {}
        self._links: dict[int, Connection] = {}
        self._requests: dict[bytes, bytes] = {}
        self._heard: set[bytes] = set()
        self._calls: deque[Callable[[Handler], None]] = deque()
        self._wake_read, self._wake_write = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        for end in (self._wake_read, self._wake_write):
            end.setblocking(False)
        self.closed = False
        for start in range(40, len(savedata), 32):
            self.friend_add_norequest(savedata[start : start + 32])
        network.members[self.public_key] = self

    # -- life

    def wake(self) -> None:
        with contextlib.suppress(OSError):
            self._wake_write.send(b"w")

    def _alive(self) -> None:
        if self.closed:
            raise ClosedError("the Tox handle is closed")

    def close(self) -> None:
        if self.closed:
            return
        self.network.members.pop(self.public_key, None)
        self.closed = True
        for fd in list(self.doors):
            self.close_door(fd)
        self._wake_read.close()
        self._wake_write.close()
        for member in self.network.members.values():
            member.wake()

    @property
    def quiet(self) -> bool:
        return not (self._handler_called or self.wants_room or self.receive_pending or self.streams_held)

    def iterate(self) -> None:
        self._alive()
        self._handler_called = False
        with contextlib.suppress(BlockingIOError):
            while True:
                self._wake_read.recv(64)
        if self.nap_s and self.handler is not None:
            self._handler_called = True
            nap_s, self.nap_s = self.nap_s, 0.0
            self.handler.on_nap(nap_s)
        self._settle()
        failure: BaseException | None = None
        while self._calls and not self.closed:
            call = self._calls.popleft()
            try:
                if self.handler is not None:
                    self._handler_called = True
                    call(self.handler)
            except BaseException as caught:
                failure = failure or caught
        if failure is not None:
            raise failure

    def iteration_interval_ms(self) -> int:
        self._alive()
        return self.interval_ms

    def cork(self) -> None:
        self._alive()

    def uncork(self) -> None: ...

    def flush(self) -> None:
        self._alive()

    def set_clock_rate(self, rate: float) -> None:
        self.clock_rate = rate

    def step_clock(self, step_s: float) -> bool:
        self.steps_s.append(step_s)
        return self.clock_is_ours

    def jump_clock(self, jump_s: float) -> None:
        self.jumps_s.append(jump_s)

    def watch_key(self, dht_key: bytes) -> bool:
        self.watched.add(dht_key)
        return True

    def forget_key(self, dht_key: bytes) -> None:
        self.watched.discard(dht_key)

    def set_detour(self, slot: int, via: int, index: int, dht_key: bytes) -> bool:
        self.detours[slot] = via, index, dht_key
        return True

    def clear_detour(self, slot: int) -> None:
        self.detours.pop(slot, None)

    def open_detour(self, slot: int, open_s: float) -> tuple[str, int] | None:
        return f"febf::{slot:x}", 1

    def straighten_detour(self, slot: int, host: str, port: int, straight_s: float) -> bool:
        self.straightened.append((slot, host, port, straight_s))
        return True

    def detour_traffic(self, slot: int) -> DetourTraffic | None:
        return self.detour_use.get(slot)

    def relay_for(self, members: dict[int, int]) -> bool:
        self.relayed = members
        return True

    def introductions(self, public_key: bytes, content: bytes) -> list[bytes]:
        self.introduced.append((public_key, content))
        return []

    def sightings(self) -> list[tuple[bytes, str, int]]:
        taken, self.sighted = self.sighted, []
        return taken

    def overheard(self) -> list[tuple[bytes, tuple[str, int], tuple[str, int]]]:
        taken, self.told_places = self.told_places, []
        return taken

    def set_nat64(self, prefix: str) -> bool:
        self.nat64 = prefix
        return True

    def know_twin(self, ipv4: str, ipv6: str) -> bool:
        self.twins.append((ipv4, ipv6))
        return True

    def rank_relays(self, quick: dict[int, bool]) -> None:
        self.ranks = quick

    def call_relays(self, number: int) -> bool:
        self.called.append(number)
        return self.has_quick

    def announce_again(self) -> int:
        self.announced_again += 1
        return 0

    def open_door(self, fd: int, host: str, port: int) -> bool:
        self.doors[fd] = host, port
        return True

    def close_door(self, fd: int) -> None:
        del self.doors[fd]
        os.close(fd)

    @property
    def sockets_version(self) -> int:
        return int(self.closed)

    def sockets(self) -> list[tuple[int, bool]]:
        own = [] if self.udp is None else [(self.udp.fileno(), True)]
        return [] if self.closed else [(self._wake_read.fileno(), True), *own]

    # -- ourselves

    def savedata(self) -> bytes:
        self._alive()
        return SAVE_HEADER + self._key_and_nospam + b"".join(self._friends.values())

    @property
    def address(self) -> bytes:
        self._alive()
        return self._key_and_nospam + checksum(self._key_and_nospam)

    @property
    def public_key(self) -> bytes:
        return self._key_and_nospam[:32]

    @property
    def status_message(self) -> bytes:
        return self._status_message

    @status_message.setter
    def status_message(self, value: bytes) -> None:
        if len(value) > 1007:
            raise error("SET_INFO_TOO_LONG")
        self._status_message = value
        for number, link in self._links.items():
            far = self.network.members.get(self._friends.get(number, b""))
            back = far.friend_by_public_key(self.public_key) if far is not None else None
            if far is not None and back is not None and link is not Connection.NONE:
                far.deliver(_status_call(back, value))

    @property
    def dht_id(self) -> bytes:
        return self.public_key[::-1]

    @property
    def nospam(self) -> int:
        return int.from_bytes(self._key_and_nospam[32:])

    @nospam.setter
    def nospam(self, value: int) -> None:
        self._key_and_nospam = self.public_key + value.to_bytes(4)

    @property
    def udp_port(self) -> int:
        return 33445 if self.udp is None else int(self.udp.getsockname()[1])

    @property
    def tcp_port(self) -> int:
        return self.relay_port

    def bootstrap(self, host: str, port: int, public_key: bytes) -> None:
        self.bootstrapped.append((host, port, public_key))

    def add_tcp_relay(self, host: str, port: int, public_key: bytes) -> None:
        self.bootstrapped.append((host, port, public_key))

    # -- friends

    def friend_add(self, address: bytes, message: bytes) -> int:
        if len(address) != 38:
            raise UsageError(f"expected 38 bytes, got {len(address)}")
        if checksum(address[:36]) != address[36:]:
            raise error("FRIEND_ADD_BAD_CHECKSUM")
        number = self.friend_add_norequest(address[:32])
        self._requests[address[:32]] = message
        if (far := self.network.members.get(address[:32])) is not None and far.address == address:
            self._deliver_request(far, message)
        return number

    def _deliver_request(self, far: "FakeTox", message: bytes) -> None:
        key = self.public_key
        if self.network.online and far.reports_request(key):
            far.deliver(lambda handler: handler.on_friend_request(key, message))

    def reports_request(self, key: bytes) -> bool:
        """Not a friend's, and of anybody else one only, until it has been a friend."""
        if key in self._heard or self.friend_by_public_key(key) is not None:
            return False
        self._heard.add(key)
        return True

    def friend_add_norequest(self, public_key: bytes) -> int:
        self._alive()
        if public_key == self.public_key:
            raise error("FRIEND_ADD_OWN_KEY")
        if public_key in self._friends.values():
            raise error("FRIEND_ADD_ALREADY_SENT")
        number = next(number for number in range(1 << 16) if number not in self._friends)
        self._friends[number] = public_key
        self.wake()
        if (far := self.network.members.get(public_key)) is not None:
            far.wake()
        return number

    def friend_delete(self, number: int) -> bool:
        self._alive()
        key = self._friends.pop(number, None)
        self._links.pop(number, None)
        self._heard.discard(key or b"")
        if key is not None and (far := self.network.members.get(key)) is not None:
            far.wake()
        return key is not None

    def friend_list(self) -> list[int]:
        self._alive()
        return list(self._friends)

    def friend_by_public_key(self, public_key: bytes) -> int | None:
        return next((number for number, key in self._friends.items() if key == public_key), None)

    def friend_public_key(self, number: int) -> bytes | None:
        return self._friends.get(number)

    def friend_connection(self, number: int) -> Connection:
        return self._links.get(number, Connection.NONE)

    # -- packets

    def accept_packets(self, packet_id: int) -> None:
        self._accepted.add(packet_id)

    def send_lossless(self, number: int, data: bytes | bytearray | memoryview) -> SendResult:
        return self._send(number, bytes(data), range(160, 192), "on_lossless")

    def send_lossy(self, number: int, data: bytes | bytearray | memoryview) -> SendResult:
        return self._send(number, bytes(data), range(192, 255), "on_lossy")

    def send_lossy_unfragmented(self, number: int, data: bytes | bytearray | memoryview) -> SendResult:
        """Sent, but lost where `path_bytes` is less."""
        if self.congested:
            return SendResult.QUEUE_FULL
        if len(data) > self.path_bytes:
            return SendResult.SENT
        return self.send_lossy(number, data)

    def _send(self, number: int, packet: bytes, ids: range, callback: str) -> SendResult:
        self._alive()
        if number not in self._friends:
            return SendResult.NOT_FOUND
        if not 0 < len(packet) <= MAX_PACKET_BYTES or packet[0] not in ids:
            return SendResult.INVALID
        far = self.network.members.get(self._friends[number])
        back = far.friend_by_public_key(self.public_key) if far is not None else None
        if far is None or back is None or self.friend_connection(number) is Connection.NONE:
            return SendResult.OFFLINE
        if callback == "on_lossless" and far.waiting >= self.queue_packets:
            return SendResult.QUEUE_FULL
        if packet[0] in far._accepted:
            far.deliver(lambda handler: getattr(handler, callback)(back, packet))
        else:
            far.unaccepted_packets += 1
            far.wake()
        return SendResult.SENT

    # -- what the network does to us

    @property
    def waiting(self) -> int:
        return len(self._calls)

    def deliver(self, call: Callable[[Handler], None]) -> None:
        self._calls.append(call)
        self.wake()

    def _settle(self) -> None:
        """Brings our and our friends' connection states up to date."""
        wanted = Connection.UDP if self.network.online else Connection.NONE
        if wanted is not self.connection:
            self.connection = wanted
            self._calls.append(lambda handler: handler.on_self_connection(wanted))
        for number, key in self._friends.items():
            far = self.network.members.get(key)
            mutual = far is not None and far.friend_by_public_key(self.public_key) is not None
            link = wanted if mutual else Connection.NONE
            if link is not self._links.get(number, Connection.NONE):
                self._links[number] = link
                self._change_connection(number, link, far)

    def _change_connection(self, number: int, link: Connection, far: "FakeTox | None") -> None:
        self._calls.append(lambda handler: handler.on_friend_connection(number, link))
        if far is not None and link is not Connection.NONE:
            text = far.status_message
            self._calls.append(lambda handler: handler.on_friend_status_message(number, text))
            far.wake()


def _status_call(number: int, text: bytes) -> Callable[[Handler], None]:
    return lambda handler: handler.on_friend_status_message(number, text)
