"""`toxvpn speed` against iperf3 through a forward, over the same path by turns, both ways.

Scenes: the fast road and the tuntox road, direct; the fast road over a relay, where the hosts have no UDP.
Every run has a client of its own, with a new identity; both leave out the first second, in which TCP finds
its rate. `beside` is one flow of iperf3 through a forward of a shared node, alone and while a speed test on
the same node sends the same way: what a test leaves to others.

`--only` names some of: fast tuntox relay beside.
"""

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from typing import Any

from lab import Lab, LabError, apps

from .harness import LOCALHOST, ONLINE_S, OURS, TOXVPN, arguments, progress, ratio, spread, table
from .pair import LISTEN_PORT, Client, Server, Site

SETTLE_S = 2.0
REVERSE = {"down": True, "up": False}
"""The directions in the words of `toxvpn speed`, and whether iperf3 calls them reverse."""
BESIDE_S = 10
BEGINS_S = {"down": 4.0, "up": 14.5}
"""When iperf3 begins in each direction of a test of BESIDE_S on a node that is connected; for 6 s."""


class Turns:
    """A warm server that lets everybody test its speed, and a client host."""

    def __init__(self, site: Site, road: str, path: str, seconds: int) -> None:
        self.site, self.road, self.path, self.seconds = site, road, path, seconds
        self.server = Server(site, "--allow-speed")

    @contextlib.contextmanager
    def forward(self) -> Iterator[None]:
        with Client(self.server, apps.IPERF3_PORT, "--road", self.road) as client:
            client.connect().close()
            client.wait_path(self.path)
            time.sleep(SETTLE_S)
            yield

    def by_iperf3(self) -> dict[str, float]:
        """Mbit/s, by direction."""
        with self.forward():
            return {way: self.iperf3(way, self.seconds) for way in REVERSE}

    def iperf3(self, way: str, seconds: int) -> float:
        options = ["-p", str(LISTEN_PORT), "-O", "1", *(["-R"] if REVERSE[way] else [])]
        report = apps.iperf3_report(self.site.client, LOCALHOST, *options, seconds=seconds)
        return float(report["sum_received"]["bits_per_second"]) / 1e6

    def argv(self, seconds: int, *flags: str) -> list[str]:
        options = ["-b", str(self.site.nodes), "--road", self.road, "--json", "--time", str(seconds), *flags]
        return [TOXVPN, "speed", *options, self.server.tox_id]

    def by_speed(self) -> dict[str, float]:
        limit_s = ONLINE_S + 3 * self.seconds
        argv = self.argv(self.seconds + 1, "--no-share")
        ran = self.site.client.run(argv, env=self.site.variables(), timeout_s=limit_s)
        result: dict[str, Any] = json.loads(ran.stdout)
        if (result["road"], result["path"]) != (self.road, self.path):
            raise LabError(f"another road or path than wanted: {ran.stdout}")
        return {way: result[way]["bits_per_second"] / 1e6 for way in REVERSE}

    def beside(self) -> dict[str, tuple[float, float, float]]:
        """Mbit/s of iperf3 alone, of iperf3 beside a test, and of that test, by direction."""
        forward = f"{LOCALHOST}:{LISTEN_PORT}:{LOCALHOST}:{apps.IPERF3_PORT}"
        argv = [
            TOXVPN,
            "-b",
            str(self.site.nodes),
            "--road",
            self.road,
            "-i",
            self.server.tox_id,
            "-L",
            forward,
        ]
        command = self.site.client.popen(argv, env=self.site.variables(), stderr=subprocess.DEVNULL)
        try:
            apps.wait_listening(command, LISTEN_PORT, ONLINE_S)
            self.iperf3("down", 1)
            alone = {way: self.iperf3(way, 5) for way in REVERSE}
            test = self.site.client.popen(
                self.argv(BESIDE_S), env=self.site.variables(), stdout=subprocess.PIPE
            )
            began_s, shared = time.monotonic(), {}
            for way in REVERSE:
                time.sleep(began_s + BEGINS_S[way] - time.monotonic())
                shared[way] = self.iperf3(way, 5)
            result = json.loads(test.communicate()[0])
        finally:
            self.site.client.stop(command)
        return {way: (alone[way], shared[way], result[way]["bits_per_second"] / 1e6) for way in REVERSE}


def compare(name: str, turns: Turns, runs: int) -> None:
    figures: dict[str, tuple[list[float], list[float]]] = {way: ([], []) for way in REVERSE}
    for _ in range(runs):
        for column, measure in enumerate((turns.by_iperf3, turns.by_speed)):
            for way, mbit in measure().items():
                figures[way][column].append(mbit)
                progress(f"{name}, {way} by {('iperf3', 'toxvpn speed')[column]}: {mbit:.1f} Mbit/s")
    rows = [
        [way, spread(iperf3), spread(speed), ratio(speed, iperf3)] for way, (iperf3, speed) in figures.items()
    ]
    table(f"{name}, Mbit/s", ["", "iperf3", "toxvpn speed", "ratio"], rows)


def report_beside(turns: Turns, runs: int) -> None:
    all_runs = [turns.beside() for _ in range(runs)]
    rows = []
    for way in REVERSE:
        alone, shared, test = zip(*(each[way] for each in all_runs), strict=True)
        rows.append([way, spread(alone), spread(shared), ratio(shared, alone), spread(test)])
    table("iperf3, Mbit/s", ["", "alone", "beside a test", "ratio", "the test"], rows)


def main() -> None:
    given = arguments(__doc__, runs=3, seconds=5, only="fast tuntox relay beside")
    wanted = given.only.split()
    with Lab() as lab:
        lab.bootstrap()
        server, client = lab.host("server"), lab.host("client")
        apps.iperf3_server(server)
        site = Site(server, client, lab.nodes_json, OURS)
        if "fast" in wanted:
            compare("fast road, direct", Turns(site, "fast", "udp", given.seconds), given.runs)
        if "beside" in wanted:
            report_beside(Turns(site, "fast", "udp", given.seconds), given.runs)
        if "tuntox" in wanted:
            compare("tuntox road, direct", Turns(site, "tuntox", "udp", given.seconds), given.runs)
        if "relay" in wanted:
            for host in (server, client):
                host.block_udp()
            compare("fast road, over a relay", Turns(site, "fast", "tcp-relay", given.seconds), given.runs)


if __name__ == "__main__":
    main()
