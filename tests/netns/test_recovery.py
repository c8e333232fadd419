"""A stream between two unprivileged toxvpn ticks again soon after either has another address, or has slept.

Long sleeps are in tests/tox/reach/test_recovery_toxcore.py, on a time of its own, and in bench/faults.py.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from forwards import DIRECT, WITH_SECRET, Client, Server, private_directory

from lab import Host, Lab
from lab.faults import freeze, thaw
from lab.ticks import TickingStream

NAP_S = 5.5
LISTEN, TARGET = 7007, 9000
SOON_S = 8.0
"""Half a second is usual, and 11 to 27 s without what is tested."""
PATIENCE_S = 60.0


@dataclass
class Pair:
    lab: Lab
    hosts: dict[str, Host]
    server: Server
    stream: TickingStream


@pytest.fixture(scope="module")
def pair(_shared_network: Lab) -> Iterator[Pair]:
    lab = _shared_network
    hosts = {name: lab.host(name) for name in ("client", "server")}
    server = Server(lab, hosts["server"], private_directory(hosts["server"], "toxvpn"), env=WITH_SECRET)
    forward = f"{LISTEN}:127.0.0.1:{TARGET}"
    client = Client(
        lab, hosts["client"], "client", server.tox_id, "-L", forward, road="auto", env=WITH_SECRET
    )
    client.wait_for(DIRECT)
    with hosts["server"].socket() as listener:
        listener.bind(("127.0.0.1", TARGET))
        listener.listen()
        listener.settimeout(PATIENCE_S)
        near = hosts["client"].connect("127.0.0.1", LISTEN)
        stream = TickingStream(near, listener.accept()[0])
        stream.next_tick(time.monotonic(), PATIENCE_S)
        yield Pair(lab, hosts, server, stream)
        stream.close()
    for host in hosts.values():
        lab.remove(host)


@pytest.mark.parametrize("mover", ["client", "server"])
def test_another_address(pair: Pair, mover: str) -> None:
    moved_s = time.monotonic()
    pair.lab.readdress(pair.hosts[mover])
    assert pair.stream.next_tick(moved_s, PATIENCE_S) < SOON_S


def test_a_sleep_is_noticed(pair: Pair) -> None:
    freeze(pair.server.process)
    time.sleep(NAP_S)
    woke_s = time.monotonic()
    thaw(pair.server.process)
    pair.server.wait_for(r"awake again after \d s: reconnecting", 2.0)
    assert pair.stream.next_tick(woke_s, PATIENCE_S) < SOON_S
