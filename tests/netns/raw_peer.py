"""A Tox peer that sends whatever its stdin asks for, however malformed, for tests of others.

`raw_peer.py NODES_JSON`. Commands and answers are JSON objects, one a line; bytes are hex:

    {"friend": TOX_ID, "message": HEX}     adds a friend; its public key may come in, too
    {"status": HEX}                        sets the status message
    {"send": [HEX, …]}                     custom packets (lossy or lossless) to the friend

    {"id": TOX_ID}                         at the start
    {"online": true}                       the friend came or went
    {"status": HEX}  {"packet": HEX}       the friend's status message, a custom packet of it

It uses nothing of toxvpn but its binding to libtoxcore. `Peer` is also the base of cpp_peer.py.
"""

import json
import os
import select
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from toxvpn._native.options import Options
from toxvpn._native.results import Connection, SendResult
from toxvpn._native.toxcore import Tox

LOSSLESS_IDS = range(160, 192)
FAST = 4.0
"""The rate of toxcore's clock until the friend is there (there is one friend at most)."""


class Peer:
    """A `Handler` of toxcore (handler.py) with an event loop of its own."""

    def __init__(self, nodes_json: str) -> None:
        first = 20_000 + os.getpid() % 20_000
        options = Options(udp_ports=(first, first + 100), local_discovery=False)
        self.tox = Tox(options, handler=self)
        self.tox.set_clock_rate(FAST)
        for packet_id in range(160, 255):
            self.tox.accept_packets(packet_id)
        self.friend: int | None = None
        self._readers: dict[int, Callable[[], None]] = {}
        for node in json.loads(Path(nodes_json).read_text())["nodes"]:
            key = bytes.fromhex(node["public_key"])
            self.tox.bootstrap(node["ipv4"], node["port"], key)
            self.tox.add_tcp_relay(node["ipv4"], node["tcp_ports"][0], key)

    def read(self, descriptor: int, call: Callable[[], None]) -> None:
        """Calls it whenever the descriptor is readable."""
        self._readers[descriptor] = call

    def run(self) -> None:
        while True:
            watched = [*self._readers, *(fd for fd, _ in self.tox.sockets())]
            ready = select.select(watched, [], [], self.tox.iteration_interval_ms() / 1000)[0]
            for descriptor in ready:
                if descriptor in self._readers:
                    self._readers[descriptor]()
            self.tox.iterate()

    def send(self, packet: bytes) -> SendResult:
        assert self.friend is not None
        lossless = packet[0] in LOSSLESS_IDS
        return (self.tox.send_lossless if lossless else self.tox.send_lossy)(self.friend, packet)

    # -- what toxcore calls

    def on_self_connection(self, connection: Connection) -> None: ...
    def on_friend_request(self, public_key: bytes, message: bytes) -> None: ...
    def on_friend_name(self, number: int, name: bytes) -> None: ...
    def on_nap(self, slept_s: float) -> None: ...
    def on_friend_status_message(self, number: int, text: bytes) -> None: ...

    def on_friend_connection(self, number: int, connection: Connection) -> None:
        if connection is not Connection.NONE:
            self.tox.set_clock_rate(1.0)

    def on_lossy(self, number: int, packet: bytes) -> None: ...
    def on_lossless(self, number: int, packet: bytes) -> None: ...


class Puppet(Peer):
    """A peer that obeys commands from stdin."""

    def __init__(self, nodes_json: str) -> None:
        super().__init__(nodes_json)
        self._unread = b""
        self.read(sys.stdin.fileno(), self._commands)
        print_event(id=self.tox.address.hex().upper())

    def _commands(self) -> None:
        data = os.read(sys.stdin.fileno(), 1 << 20)
        if not data:
            sys.exit()
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            self._do(json.loads(line))

    def _do(self, command: dict[str, Any]) -> None:
        if "friend" in command:
            self.friend = self.tox.friend_add(
                bytes.fromhex(command["friend"]), bytes.fromhex(command["message"])
            )
        elif "status" in command:
            self.tox.status_message = bytes.fromhex(command["status"])
        for packet in command.get("send", ()):
            assert self.send(bytes.fromhex(packet)) is SendResult.SENT

    def on_friend_connection(self, number: int, connection: Connection) -> None:
        super().on_friend_connection(number, connection)
        print_event(online=connection is not Connection.NONE)

    def on_friend_status_message(self, number: int, text: bytes) -> None:
        print_event(status=text.hex())

    def on_lossy(self, number: int, packet: bytes) -> None:
        print_event(packet=packet.hex())

    def on_lossless(self, number: int, packet: bytes) -> None:
        print_event(packet=packet.hex())


def print_event(**event: object) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    Puppet(sys.argv[1]).run()
