"""Two friends with real toxcores, connected over the loopback interface, on a time of the test's own.

After the test, `fail_sends([])` and `set_time(None)` of hooked.py give the process its own kernel back.
"""

import time

from .._native.handler import Handler
from .._native.options import Options
from .._native.results import Connection
from .._native.toxcore import Tox
from .hooked import set_time

LOCAL = Options(ipv6=False, local_discovery=False)
PACKET_ID = 0xA2


class FriendSeen(Handler):
    """Records whether it is connected, and counts packets."""

    def __init__(self) -> None:
        self.online = False
        self.packets = 0

    def on_self_connection(self, connection: Connection) -> None: ...
    def on_friend_request(self, public_key: bytes, message: bytes) -> None: ...
    def on_friend_name(self, number: int, name: bytes) -> None: ...
    def on_nap(self, slept_s: float) -> None: ...
    def on_friend_status_message(self, number: int, text: bytes) -> None: ...
    def on_lossy(self, number: int, packet: bytes) -> None: ...

    def on_friend_connection(self, number: int, connection: Connection) -> None:
        self.online = connection is Connection.UDP

    def on_lossless(self, number: int, packet: bytes) -> None:
        self.packets += 1


class Pair:
    """Two connected friends, whose time passes when the test says so."""

    def __init__(self) -> None:
        self.now_ns = time.monotonic_ns()
        set_time(self.now_ns)
        self.friends = FriendSeen(), FriendSeen()
        self.here, self.there = (Tox(LOCAL, handler=friend) for friend in self.friends)
        self.there.accept_packets(PACKET_ID)
        self.there.bootstrap("127.0.0.1", self.here.udp_port, self.here.dht_id)
        self.number = self.here.friend_add_norequest(self.there.public_key)
        self.there.friend_add_norequest(self.here.public_key)
        for _ in range(20_000):
            if all(friend.online for friend in self.friends):
                return
            self.turn(5_000_000)
        raise AssertionError("not connected after 100 s of its time")

    def close(self) -> None:
        self.here.close()
        self.there.close()

    def turn(self, passed_ns: int) -> None:
        self.now_ns += passed_ns
        set_time(self.now_ns)
        self.there.iterate()
        self.here.iterate()
