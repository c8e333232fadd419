"""The tuntox road through -L: round trips, fetch times and throughput, direct and over a relay.

Goals: p50 of a round trip under 1 ms direct, under 5 ms over a relay. Over a relay means that the hosts
have no UDP at all and know one kind of relay: tox-bootstrapd's, or that of a toxvpn with -t. The relay
runs as it comes in both columns; server and client run as ours and as stock libtoxcore by turns.
"""

import contextlib
import json
import math
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lab import Host, Lab, LabError, apps

from .harness import (
    LOCALHOST,
    OURS,
    STOCK,
    Environment,
    arguments,
    awake,
    median,
    module,
    percentile,
    progress,
    spread,
    table,
)
from .pair import LISTEN_PORT, Client, Server, Site, receive

HOW: dict[str, Environment] = {"ours": OURS, "stock": STOCK}
SIZES_BYTES = (100_000, 1_000_000, 10_000_000)
RELAY_PORT = 443
ROAD = ("--road", "tuntox")
SETTLE_S = 2.0
"""Pause after the path is there, while both sides still exchange relays and addresses."""
PAUSE_S = 0.02
"""Pause between round trips, as between keystrokes: toxcore starts at 200 lossless packets per second."""
FETCH_LIMIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Scene:
    name: str
    site: Site
    path: str
    goal_ms: float | None


@dataclass(slots=True)
class Figures:
    rtt_ms: list[float] = field(default_factory=list)
    awake_rtt_ms: list[float] = field(default_factory=list)
    fetch_s: dict[int, list[float]] = field(default_factory=lambda: {size: [] for size in SIZES_BYTES})
    mbit: dict[bool, list[float]] = field(default_factory=lambda: {False: [], True: []})  # by `reverse`


@contextlib.contextmanager
def fresh_client(server: Server, scene: Scene, port: int) -> Iterator[Client]:
    """A client with a new identity, by the path of the scene: toxcore's rate starts at 0.3 MB/s again."""
    with Client(server, port, *ROAD) as client:
        client.wait_path(scene.path)
        time.sleep(SETTLE_S)
        if client.path() != scene.path:
            raise LabError(f"{scene.name}: the path is {client.path()}, not {scene.path}")
        yield client


def round_trips_ms(client: Client, count: int) -> list[float]:
    times_ms = []
    with client.connect() as sock:
        for _ in range(count):
            began_s = time.perf_counter()
            sock.sendall(b"x")
            receive(sock, 1)
            times_ms.append((time.perf_counter() - began_s) * 1e3)
            time.sleep(PAUSE_S)
    return times_ms


def fetch_s(client: Client, size: int) -> float:
    """Time from connect to the last byte of a file; infinite when it takes longer than FETCH_LIMIT_S."""
    began_s = time.monotonic()
    with client.connect() as sock:
        sock.sendall(f"GET /{size} HTTP/1.0\r\n\r\n".encode())
        while sock.recv(1 << 20):
            if time.monotonic() - began_s > FETCH_LIMIT_S:
                return math.inf
    return time.monotonic() - began_s


def measure(scene: Scene, how: str, figures: Figures, trips: int, seconds: int) -> None:
    site = Site(scene.site.server, scene.site.client, scene.site.nodes, HOW[how])
    server = Server(site)
    with fresh_client(server, scene, apps.ECHO_PORT) as client:
        figures.rtt_ms += round_trips_ms(client, trips)
        with awake():
            figures.awake_rtt_ms += round_trips_ms(client, trips)
    progress(f"{scene.name}, {how}: p50 {median(figures.rtt_ms):.2f} ms")
    for size, times_s in figures.fetch_s.items():
        with fresh_client(server, scene, apps.HTTP_PORT) as client:
            times_s.append(fetch_s(client, size))
        progress(f"{scene.name}, {how}: {size / 1e6:g} MB in {times_s[-1]:.2f} s")
    for reverse, rates in figures.mbit.items():
        if seconds:
            with fresh_client(server, scene, apps.IPERF3_PORT):
                rates.append(
                    apps.iperf3(site.client, LOCALHOST, LISTEN_PORT, seconds=seconds, reverse=reverse)
                )
            progress(f"{scene.name}, {how}: {rates[-1]:.0f} Mbit/s{' back' if reverse else ''}")
    server.stop()


def report(scene: Scene, figures: dict[str, Figures], seconds: int) -> None:
    def row(name: str, cells: list[str], verdict: str = "") -> list[str]:
        return [name, *cells, verdict]

    both = [figures[how] for how in HOW]
    rows = []
    trips = {
        "round trip": [one.rtt_ms for one in both],
        "the same, processors awake": [one.awake_rtt_ms for one in both],
    }
    for name, times_ms in trips.items():
        p50 = [percentile(times, 50) for times in times_ms]
        goal = scene.goal_ms and f"< {scene.goal_ms:g}: {'met' if p50[0] < scene.goal_ms else 'MISSED'}"
        rows.append(row(f"{name}, p50, ms", [f"{value:.2f}" for value in p50], goal or ""))
        rows.append(row(f"{name}, p99, ms", [f"{percentile(times, 99):.2f}" for times in times_ms]))
    for size in SIZES_BYTES:
        rows.append(row(f"fetch {size / 1e6:g} MB, s", [spread(one.fetch_s[size], ".2f") for one in both]))
    for reverse, way in ((False, "to the server"), (True, "back")) if seconds else ():
        name = f"iperf3 {way}, {seconds} s from the start, Mbit/s"
        rows.append(row(name, [spread(one.mbit[reverse], ".0f") for one in both]))
    table(scene.name, [f"tuntox road by {scene.path}", *HOW, "goal"], rows)


def scenes(lab: Lab) -> Iterator[Scene]:
    server, client = lab.host("server"), lab.host("client")
    for size in SIZES_BYTES:
        server.directory.joinpath(str(size)).write_bytes(os.urandom(size))
    apps.echo_server(server)
    apps.http_server(server, server.directory)
    apps.iperf3_server(server)
    yield Scene("Direct", Site(server, client, lab.nodes_json, OURS), "udp", 1.0)
    for host in (server, client):
        host.block_udp()
    yield Scene("Relay: tox-bootstrapd", Site(server, client, lab.nodes_json, OURS), "tcp-relay", None)
    nodes = toxvpn_relay(lab, lab.host("relay"))
    yield Scene("Relay: toxvpn -t", Site(server, client, nodes, OURS), "tcp-relay", 5.0)


def toxvpn_relay(lab: Lab, host: Host, environment: Environment = OURS) -> Path:
    """Start a relay, and return the nodes.json that lists it alone."""
    with host.directory.joinpath("relay.log").open("wb") as log:
        process = host.popen(
            module("relay_node", host.directory / "toxvpn", lab.nodes_json, RELAY_PORT),
            env=environment,
            stdout=subprocess.PIPE,
            stderr=log,
        )
    assert process.stdout
    if not (printed := process.stdout.readline().decode().split()):
        raise LabError(f"the relay ended: {host.directory.joinpath('relay.log').read_text()}")
    node = {
        "ipv4": host.ipv4,
        "ipv6": host.ipv6,
        "port": int(printed[0]),
        "public_key": printed[1],
        "tcp_ports": [RELAY_PORT],
    }
    nodes = host.directory / "nodes.json"
    nodes.write_text(json.dumps({"nodes": [node]}))
    return nodes


def main() -> None:
    given = arguments(__doc__, runs=2, trips=300, seconds=10, scene="")
    with Lab() as lab:
        lab.bootstrap()
        for scene in scenes(lab):
            if given.scene.lower() not in scene.name.lower():
                continue
            figures = {how: Figures() for how in HOW}
            for _ in range(given.runs):
                for how in HOW:
                    measure(scene, how, figures[how], given.trips, given.seconds)
            report(scene, figures, given.seconds)


if __name__ == "__main__":
    main()
