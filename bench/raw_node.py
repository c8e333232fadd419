"""One end of a bare Tox connection, as a process: no daemon, no stream, only libtoxcore and the blaster.

Commands come on stdin as JSON lists, each answered by one JSON line on stdout; the first line has
the node's addresses and the names of toxvpn's hooks under libtoxcore that are in force.
"""

import json
import select
import sys
from collections.abc import Callable
from typing import Any, cast

from toxvpn._native.handler import Handler
from toxvpn._native.net import netio
from toxvpn._native.options import Options
from toxvpn._native.results import Connection
from toxvpn._native.toxcore import Tox
from toxvpn.tox.sockets import find_udp_sockets

from .blaster import Blaster

PORTS = (40_000, 50_000)


class Greeter:
    """A Handler (toxvpn/_native/handler.py) that accepts every friend and ignores all other events."""

    tox: Tox

    def on_friend_request(self, public_key: bytes, _: bytes) -> None:
        self.tox.friend_add_norequest(public_key)

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


class RawNode:
    def __init__(self) -> None:
        greeter = Greeter()
        self.tox = greeter.tox = Tox(
            Options(local_discovery=False, udp_ports=PORTS), handler=cast(Handler, greeter)
        )
        self.blaster = Blaster(self.tox)
        [self.udp_fd] = find_udp_sockets(self.tox.udp_port)
        self.poll = select.poll()
        for fd in (self.udp_fd, sys.stdin.fileno()):
            self.poll.register(fd, select.POLLIN)

    def hello(self) -> dict[str, Any]:
        return {
            "tox_id": self.tox.address.hex(),
            "dht_id": self.tox.dht_id.hex(),
            "port": self.tox.udp_port,
            "in_force": [name for name, hook in netio.hooks()._asdict().items() if hook.in_force],
        }

    def run(self) -> None:
        """Serve commands until the end of stdin."""
        print(json.dumps(self.hello()), flush=True)
        while True:
            ready = dict(self.poll.poll(0 if self.tox.receive_pending else self.tox.iteration_interval_ms()))
            self.tox.iterate()
            if sys.stdin.fileno() in ready:
                if not (line := sys.stdin.readline()):
                    return
                name, *arguments = json.loads(line)
                print(json.dumps(getattr(self, name)(*arguments)), flush=True)

    # -- commands

    def reach(self, tox_id: str, host: str, port: int, dht_id: str) -> None:
        self.tox.bootstrap(host, port, bytes.fromhex(dht_id))
        self.tox.friend_add(bytes.fromhex(tox_id), b"bench")

    def is_direct(self) -> bool:
        return [self.tox.friend_connection(number) for number in self.tox.friend_list()] == [Connection.UDP]

    def blast(self, size: int, seconds: float) -> int:
        return self.blaster.blast(self.tox.friend_list()[0], size, seconds, self.udp_fd)

    def take(self) -> tuple[int, float]:
        return self.blaster.take()


if __name__ == "__main__":
    RawNode().run()
