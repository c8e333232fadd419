"""How soon a stream ticks again after a fault: sleep, other addresses, another network, none at all.

`runs` pairs of hosts suffer each fault at the same time. Each pair has one stream that ticks every 50 ms
both ways (lab/ticks.py): through `-L` on either road, without root, or over the VPN. "next tick" is the
time from the end of the fault until a tick that was sent after it has come, at both ends; "then": the
longest that any later tick took, within `watch` seconds.
"""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from socket import SO_REUSEADDR, SOL_SOCKET
from socket import socket as Socket  # noqa: N812
from subprocess import Popen

from lab import Host, Lab, LabError, Nat, wait_until
from lab.faults import freeze, thaw
from lab.ticks import TickingStream

from .harness import ONLINE_S, OURS, arguments, median, progress, spread, table
from .pair import Client, Server, Site
from .vpn_pair import VpnSide

TARGET_PORT = 9000
USER = "nobody"
GOAL_S = 5.0
LOST_S = 200.0
SETTLE_S = 20.0
"""Between a fault and the next: toxcore puts relays to sleep 10 s after a path became direct."""


class Pair:
    """Two hosts whose toxvpn are connected, without a relay, and a stream between them."""

    client: "Popen[bytes]"
    server: "Popen[bytes]"

    def __init__(self, lab: Lab, client_host: Host, server_host: Host) -> None:
        self.lab, self.client_host, self.server_host = lab, client_host, server_host
        self._listener = server_host.socket()
        self._listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        self._listener.bind(("", TARGET_PORT))
        self._listener.listen()
        self._listener.settimeout(ONLINE_S)
        self._open()
        self.stream = self._connected()

    def is_direct(self) -> bool:
        raise NotImplementedError

    def renew(self) -> None:
        """Another stream, for one that has ended."""
        self.stream.close()
        self.stream = self._connected()

    def _open(self) -> None:
        """Starts toxvpn on both."""
        raise NotImplementedError

    def _dial(self) -> Socket:
        raise NotImplementedError

    def sockets(self) -> tuple[Socket, Socket]:
        """Both ends of a new stream."""
        near = self._dial()
        far, _ = self._listener.accept()
        return near, far

    def _connected(self) -> TickingStream:
        return TickingStream(*self.sockets())


class ForwardPair(Pair):
    """`toxvpn -L` and its server, as an unprivileged user."""

    road = "auto"

    def is_direct(self) -> bool:
        return self._forward.path() == "udp"

    def _open(self) -> None:
        called = Server(Site(self.server_host, self.client_host, self.lab.nodes_json, OURS, USER))
        self._forward = Client(called, TARGET_PORT, "--road", self.road)
        self.client, self.server = self._forward.process, called.process
        self._forward.wait_path("udp")

    def _dial(self) -> Socket:
        return self._forward.connect()


class TuntoxPair(ForwardPair):
    road = "tuntox"


class VpnPair(Pair):
    """`toxvpn up` on both, as root."""

    def is_direct(self) -> bool:
        return self._near.is_direct()

    def _open(self) -> None:
        hosts = self.client_host, self.server_host
        self._near, far = (VpnSide(host, self.lab.nodes_json, OURS) for host in hosts)
        self._near.up(far.tox_id)
        far.up(self._near.tox_id)
        self.client, self.server = self._near.process, far.process
        for side in (self._near, far):
            wait_until(partial(VpnSide.is_direct, side), "direct connection of toxvpn", ONLINE_S, 0.2)
        self._address: str = far.status()["self"]["ipv4"]

    def _dial(self) -> Socket:
        return self.client_host.connect(self._address, TARGET_PORT, ONLINE_S)


TRAFFIC: dict[str, type[Pair]] = {"fast": ForwardPair, "tuntox": TuntoxPair, "vpn": VpnPair}


@dataclass(frozen=True, slots=True)
class Fault:
    """`end` may be all of it. `from_direct`: it befalls pairs that have no relay between them."""

    end: Callable[[Pair], None]
    begin: Callable[[Pair], None] | None = None
    from_direct: bool = True


def offline(pair: Pair) -> None:
    pair.client_host.down()
    pair.server_host.down()


def online(pair: Pair) -> None:
    pair.client_host.up()
    pair.server_host.up()


PUBLIC = {
    "client asleep": Fault(lambda pair: thaw(pair.client), lambda pair: freeze(pair.client)),
    "server asleep": Fault(lambda pair: thaw(pair.server), lambda pair: freeze(pair.server)),
    "both asleep": Fault(
        lambda pair: thaw(pair.client, pair.server), lambda pair: freeze(pair.client, pair.server)
    ),
    "both offline": Fault(online, offline),
    "client's addresses change": Fault(lambda pair: pair.lab.readdress(pair.client_host)),
    "server's addresses change": Fault(lambda pair: pair.lab.readdress(pair.server_host)),
    "client moves to another network": Fault(lambda pair: pair.lab.roam(pair.client_host)),
    "server moves to another network": Fault(lambda pair: pair.lab.roam(pair.server_host)),
    "UDP is blocked": Fault(lambda pair: pair.client_host.block_udp()),
    "UDP passes again": Fault(lambda pair: pair.client_host.block_udp(False), from_direct=False),
}


def nats_of(pair: Pair) -> tuple[Nat, Nat]:
    found = [pair.lab.hosts[f"{host.name}nat"] for host in (pair.client_host, pair.server_host)]
    assert isinstance(found[0], Nat) and isinstance(found[1], Nat)
    return found[0], found[1]


BEHIND_NATS = {
    "client asleep": PUBLIC["client asleep"],
    "server asleep": PUBLIC["server asleep"],
    "client's address changes behind its NAT": Fault(
        lambda pair: nats_of(pair)[0].readdress(pair.client_host)
    ),
    "server's address changes behind its NAT": Fault(
        lambda pair: nats_of(pair)[1].readdress(pair.server_host)
    ),
    "client's NAT gets other addresses": Fault(lambda pair: pair.lab.readdress(nats_of(pair)[0])),
    "server's NAT gets other addresses": Fault(lambda pair: pair.lab.readdress(nats_of(pair)[1])),
}

SCENES = {"public hosts": PUBLIC, "behind NATs": BEHIND_NATS}


def hosts(lab: Lab, scene: str, number: int) -> tuple[Host, Host]:
    names = f"client{number}", f"server{number}"
    if scene == "public hosts":
        return lab.host(names[0]), lab.host(names[1])
    return lab.nat(f"{names[0]}nat").host(names[0]), lab.nat(f"{names[1]}nat").host(names[1])


def settled(pairs: list[Pair], *, direct: bool) -> None:
    """Waits until all are connected, and have been for a while, with streams that tick."""
    for pair in pairs:
        if pair.stream.failure:
            pair.renew()
        if direct:
            wait_until(pair.is_direct, "direct connection", LOST_S, 0.5)
    time.sleep(SETTLE_S)


def suffer(pairs: list[Pair], fault: Fault, lasts_s: float, watch_s: float) -> Iterator[tuple[float, float]]:
    """For each pair whose stream lives on: time to the next tick, and the longest pause after it."""
    if fault.begin:
        for pair in pairs:
            fault.begin(pair)
        time.sleep(lasts_s)
    ended_s = []
    for pair in pairs:
        ended_s.append(time.monotonic())
        fault.end(pair)
    for pair, since_s in zip(pairs, ended_s, strict=True):
        try:
            next_s = pair.stream.next_tick(since_s, LOST_S)
            time.sleep(max(0.0, since_s + next_s + watch_s - time.monotonic()))
        except LabError as failure:
            progress(f"{pair.client_host.name}: {failure}")
            continue
        yield next_s, pair.stream.longest_pause(since_s + next_s)


def measure(pairs: list[Pair], faults: dict[str, Fault], lasts_s: float, watch_s: float) -> list[list[str]]:
    rows = []
    for name, fault in faults.items():
        settled(pairs, direct=fault.from_direct)
        outcomes = list(suffer(pairs, fault, lasts_s, watch_s))
        name += f", {lasts_s:g} s" if fault.begin else ""
        cells = [f"{len(outcomes)} of {len(pairs)}"]
        if outcomes:
            next_s, then_s = zip(*outcomes, strict=True)
            cells += [spread(next_s), spread(then_s), "met" if median(next_s) <= GOAL_S else "MISSED"]
        progress(f"{name}: {' '.join(cells)}")
        rows.append([name, *cells, *[""] * (4 - len(cells))])
    return rows


def main() -> None:
    given = arguments(__doc__, runs=5, asleep=60.0, watch=15.0, traffic="fast tuntox vpn", scene="", only="")
    for scene, faults in SCENES.items():
        faults = {name: fault for name, fault in faults.items() if re.search(given.only, name)}
        if given.scene not in scene or not faults:
            continue
        for traffic in given.traffic.split():
            with Lab() as lab:
                lab.bootstrap()
                pairs = [TRAFFIC[traffic](lab, *hosts(lab, scene, number)) for number in range(given.runs)]
                rows = measure(pairs, faults, given.asleep, given.watch)
                for pair in pairs:
                    pair.stream.close()
            header = [traffic, "streams alive", "next tick, s", "then, s", f"goal {GOAL_S:g} s"]
            table(f"{scene}: seconds after the fault, median of {given.runs}", header, rows)


if __name__ == "__main__":
    main()
