"""A UDP forward against the VPN, both of one pair of nodes, by turns: a game's packets, and floods.

A game sends 60 packets of 100 bytes a second, and each comes back: the round trips, and how many were lost.
A flood is iperf3's, of 1200 bytes as QUIC has them, at several rates, one way and then the other: what came,
and what was lost. As root on both sides; the bare link shows what iperf3 itself can do here.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from socket import AF_INET, SOCK_DGRAM
from socket import socket as Socket  # noqa: N812

from lab import Host, Lab, apps, wait_until

from .harness import (
    GIVER_PORT,
    LOCALHOST,
    ONLINE_S,
    arguments,
    awake,
    module,
    percentile,
    progress,
    spread,
    start_giver,
    table,
)
from .pair import Client
from .served import Served

GAME_HZ = 60
GAME_BYTES = 100
FLOOD_BYTES = 1200
ECHO_PORT, ECHO_LISTEN_PORT = 9007, 7007
FLOOD_LISTEN_PORT = 7201
FLOODS_MBIT = (100, 300, 500, 700, 1000)
LATE_S = 1.0
BUFFER = "4M"
"""Of iperf3's sockets: the usual 208 kB hold less than 2 ms of a gigabit."""


@dataclass(slots=True)
class Game:
    """Round trips of packets that came back, and how many were sent."""

    trips_ms: list[float] = field(default_factory=list)
    sent: int = 0

    @property
    def row(self) -> list[str]:
        cells = [f"{percentile(self.trips_ms, percent):.2f}" for percent in (50, 99)]
        return [*cells, f"{max(self.trips_ms):.2f}", f"{100 * (1 - len(self.trips_ms) / self.sent):.2f} %"]


def play(sock: Socket, seconds: float, game: Game) -> None:
    """Sends a packet every 1/60 s on a connected socket, and takes the time until it is back."""
    sock.settimeout(0)
    begun = time.perf_counter()
    sent: dict[bytes, float] = {}
    for number in range(int(seconds * GAME_HZ)):
        packet = number.to_bytes(GAME_BYTES)
        sent[packet] = time.perf_counter()
        sock.send(packet)
        take_until(sock, begun + (number + 1) / GAME_HZ, sent, game)
    game.sent += int(seconds * GAME_HZ)
    take_until(sock, time.perf_counter() + LATE_S, sent, game)


def take_until(sock: Socket, end_s: float, sent: dict[bytes, float], game: Game) -> None:
    while sent or end_s - time.perf_counter() > 0:
        if (left_s := end_s - time.perf_counter()) <= 0:
            return
        sock.settimeout(left_s)
        try:
            packet = sock.recv(65535)
        except TimeoutError:
            return
        game.trips_ms.append((time.perf_counter() - sent.pop(packet)) * 1e3)


@dataclass(slots=True)
class Flood:
    """What came of iperf3's datagrams, in Mbit/s, and the share that was lost."""

    mbit: list[float] = field(default_factory=list)
    lost_percent: list[float] = field(default_factory=list)

    @property
    def cell(self) -> str:
        return f"{spread(self.mbit, '.0f')} / {spread(self.lost_percent, '.2f')} %"


def flood(
    host: Host, address: str, port: int, mbit: int, seconds: int, *, reverse: bool
) -> tuple[float, float]:
    options = ["-u", "-p", str(port), "-l", str(FLOOD_BYTES), "-b", f"{mbit}M", "-w", BUFFER]
    end = apps.iperf3_report(host, address, *options, *(["-R"] if reverse else []), seconds=seconds)["sum"]
    lost = float(end["lost_percent"])
    return end["packets"] * FLOOD_BYTES * 8 / end["seconds"] / 1e6 * (1 - lost / 100), lost


@dataclass(frozen=True, slots=True)
class Way:
    """How the client reaches the server: an address, and the ports of echo and iperf3 there."""

    address: str
    echo_port: int
    flood_port: int


@contextmanager
def ways(lab: Lab) -> Iterator[tuple[Host, Mapping[str, Way]]]:
    far, near = lab.host("server"), lab.host("client")
    served = Served(lab.nodes_json, far, caller=near, peer=near)
    start_giver(far)
    far.popen(module("udp_echo", "0.0.0.0", ECHO_PORT))
    apps.iperf3_server(far)
    forwards = [
        f"udp/{LOCALHOST}:{ECHO_LISTEN_PORT}:{LOCALHOST}:{ECHO_PORT}",
        f"both/{LOCALHOST}:{FLOOD_LISTEN_PORT}:{LOCALHOST}:{apps.IPERF3_PORT}",
    ]
    served.wait_direct()
    with Client(served, GIVER_PORT, *(word for each in forwards for word in ("-L", each))) as client:
        client.wait_path("udp")
        client.connect().close()
        inside = next(peer["ipv4"] for peer in served.peer.status()["peers"])
        found = {
            "forward": Way(LOCALHOST, ECHO_LISTEN_PORT, FLOOD_LISTEN_PORT),
            "VPN": Way(inside, ECHO_PORT, apps.IPERF3_PORT),
            "bare link": Way(str(far.ipv4), ECHO_PORT, apps.IPERF3_PORT),
        }
        for name, way in found.items():
            wait_until(answers(near, way), f"an echo by the {name}", ONLINE_S)
        yield near, found


def connected(host: Host, way: Way) -> Socket:
    sock = host.socket(AF_INET, SOCK_DGRAM)
    sock.connect((way.address, way.echo_port))
    return sock


def answers(host: Host, way: Way) -> Callable[[], bool]:
    def ask() -> bool:
        with connected(host, way) as sock:
            sock.settimeout(1)
            try:
                sock.send(b"hello")
                return sock.recv(100) == b"hello"
            except OSError:
                return False

    return ask


def main() -> None:
    given = arguments(__doc__, runs=3, seconds=4, game=20.0, only="game flood back")
    with Lab() as lab:
        lab.bootstrap()
        with ways(lab) as (host, found):
            if "game" in given.only:
                report_games(host, found, given.runs, given.game)
            for word, reverse in (("flood", False), ("back", True)):
                if word in given.only:
                    report_floods(host, found, given.runs, given.seconds, reverse=reverse)


def report_games(host: Host, found: Mapping[str, Way], runs: int, seconds: float) -> None:
    for load in ("quiet", "awake"):
        games = {name: Game() for name in found}
        for _ in range(runs):
            for name, way in found.items():
                with connected(host, way) as sock:
                    if load == "awake":
                        with awake():
                            play(sock, seconds / runs, games[name])
                    else:
                        play(sock, seconds / runs, games[name])
                progress(f"{name}, {load}: {games[name].row}")
        header = ["", "p50 ms", "p99 ms", "max ms", "lost"]
        rows = [[name, *game.row] for name, game in games.items()]
        table(f"{GAME_HZ} packets of {GAME_BYTES} bytes a second, round trip, {load}", header, rows)


def report_floods(host: Host, found: Mapping[str, Way], runs: int, seconds: int, *, reverse: bool) -> None:
    floods = {name: {mbit: Flood() for mbit in FLOODS_MBIT} for name in found}
    for _ in range(runs):
        for mbit in FLOODS_MBIT:
            for name, way in found.items():
                came, lost = flood(host, way.address, way.flood_port, mbit, seconds, reverse=reverse)
                floods[name][mbit].mbit.append(came)
                floods[name][mbit].lost_percent.append(lost)
                progress(f"{name}, {mbit} Mbit/s: {came:.0f} came, {lost:.2f} % lost")
    header = ["offered, Mbit/s", *map(str, FLOODS_MBIT)]
    rows = [[name, *(each.cell for each in by_rate.values())] for name, by_rate in floods.items()]
    direction = "from the server" if reverse else "to the server"
    table(f"Datagrams of {FLOOD_BYTES} bytes {direction}: Mbit/s that came / lost", header, rows)


if __name__ == "__main__":
    main()
