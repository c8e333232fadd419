"""Bulk and round trips over a TCP relay, where the hosts have no UDP: ours against stock libtoxcore by turns.

Three kinds of relay: tox-bootstrapd's, that of a toxvpn with -t, which runs as the hosts do, and both: the
server has -t, and the client knows only bootstrap nodes. Two kinds of packets: lossy ones (the fast road of a
forward; the VPN's are the same) and lossless ones (the tuntox road).
Each way and each run has a new client, and a second in which TCP finds its rate is left out. toxcore's rate
for lossless packets takes longer to grow, so they are sent for `--lossless` seconds.

`--only` names some of: bootstrapd toxvpn both; `--road` some of: fast tuntox.
"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lab import Host, Lab, LabError, apps

from .forward import RELAY_PORT, round_trips_ms, toxvpn_relay
from .harness import (
    LOCALHOST,
    OURS,
    STOCK,
    Environment,
    arguments,
    percentile,
    progress,
    ratio,
    spread,
    table,
)
from .pair import LISTEN_PORT, Client, Server, Site

HOW: dict[str, Environment] = {"ours": OURS, "stock": STOCK}
ROADS = {"fast": "fast road (lossy)", "tuntox": "tuntox road (lossless)"}
WAYS = {"to the server": False, "back": True}
GOALS = {"bootstrapd": 1.0, "toxvpn": 5.0, "both": 5.0}
PATH = "tcp-relay"
SETTLE_S = 2.0


@dataclass(slots=True)
class Figures:
    mbit: dict[str, list[float]] = field(default_factory=lambda: {way: [] for way in WAYS})
    rtt_ms: list[float] = field(default_factory=list)


@contextlib.contextmanager
def forward(server: Server, road: str, port: int) -> Iterator[Client]:
    """A client with a new identity, whose first stream is there."""
    with Client(server, port, "--road", road) as client:
        client.connect().close()
        client.wait_path(PATH)
        time.sleep(SETTLE_S)
        yield client
        if client.path() != PATH:
            raise LabError(f"the path is {client.path()}, not {PATH}")


def measure(server: Server, road: str, figures: Figures, seconds: int, trips: int) -> None:
    for way, reverse in WAYS.items():
        with forward(server, road, apps.IPERF3_PORT):
            options = ["-p", str(LISTEN_PORT), "-O", "1", *(["-R"] if reverse else [])]
            report = apps.iperf3_report(server.site.client, LOCALHOST, *options, seconds=seconds)
            figures.mbit[way].append(float(report["sum_received"]["bits_per_second"]) / 1e6)
            progress(f"{road}, {way}: {figures.mbit[way][-1]:.1f} Mbit/s")
    with forward(server, road, apps.ECHO_PORT) as client:
        figures.rtt_ms += round_trips_ms(client, trips)


def report(relay: str, road: str, figures: dict[str, Figures]) -> None:
    ours, stock = (figures[how] for how in HOW)
    rows = []
    for way in WAYS:
        mine, theirs = ours.mbit[way], stock.mbit[way]
        rows.append(
            [f"{way}, Mbit/s", spread(mine), spread(theirs), ratio(mine, theirs), f"{GOALS[relay]:g}x"]
        )
    for percent in (50, 99):
        mine, theirs = ([percentile(one.rtt_ms, percent)] for one in (ours, stock))
        rows.append(
            [
                f"round trip p{percent}, ms",
                spread(mine, ".2f"),
                spread(theirs, ".2f"),
                ratio(mine, theirs),
                "1x",
            ]
        )
    table(f"{ROADS[road]} over {relay}", ["", *HOW, "ratio", "goal"], rows)


def nodes_of(lab: Lab, relay: str, how: str, hosts: dict[str, Host]) -> Path:
    """The nodes.json of a turn: the bootstrap nodes, or one toxvpn that is a relay."""
    if relay != "toxvpn":
        return lab.nodes_json
    return toxvpn_relay(lab, hosts[how], HOW[how])


def main() -> None:
    given = arguments(
        __doc__, runs=3, seconds=5, lossless=10, trips=100, only="bootstrapd toxvpn both", road="fast tuntox"
    )
    with Lab() as lab:
        lab.bootstrap()
        server, client = lab.host("server"), lab.host("client")
        apps.iperf3_server(server)
        apps.echo_server(server)
        relays = {how: lab.host(f"relay{how}") for how in HOW}
        for host in (server, client):
            host.block_udp()
        for relay in given.only.split():
            nodes = {how: nodes_of(lab, relay, how, relays) for how in HOW}
            figures = {road: {how: Figures() for how in HOW} for road in given.road.split()}
            for _ in range(given.runs):
                for how, environment in HOW.items():
                    flags = ("-t", str(RELAY_PORT)) if relay == "both" else ()
                    warm = Server(Site(server, client, nodes[how], environment), *flags)
                    for road in figures:
                        progress(f"{relay}, {how}")
                        seconds = given.lossless if road == "tuntox" else given.seconds
                        measure(warm, road, figures[road][how], seconds, given.trips)
                    warm.stop()
            for road in figures:
                report(relay, road, figures[road])


if __name__ == "__main__":
    main()
