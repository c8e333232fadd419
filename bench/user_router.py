"""A network behind a router without root, against one behind root's: TCP each way, and pings, by turns.

One machine is the router to a LAN twice: by root's `toxvpn up`, and by a user's `toxvpn up --user`. The host
on the LAN has an address for each way. Where sshuttle is installed, it is a third way, with root's rights at
the near end alone as well: it carries TCP over ssh, and no pings.
"""

import json
import re
import shutil
import subprocess
from functools import partial

from lab import Lab, apps, wait_until
from lab.bootstrap import start_nodes, write_nodes_json

from .harness import ONLINE_S, OURS, arguments, median, progress, ratio, spread, table
from .vpn_pair import VpnSide

USER = "nobody"
ROOT, ROOTLESS, SSHUTTLE = "root's router", "rootless", "sshuttle"
NUMBERS = {ROOTLESS: 0, ROOT: 1, SSHUTTLE: 2}
"""The third byte of the LAN's network 10.9.N.0/24 by each way."""
PINGS = 100


def config(peers: dict[str, VpnSide], more: str, top: str = "") -> str:
    sections = [f'[peers.{name}]\nid = "{side.tox_id}"\nvpn = true\n{more}\n' for name, side in peers.items()]
    return "\n".join([f"[vpn]\n{top}\n", *sections])


class Bench:
    def __init__(self, lab: Lab) -> None:
        self.near, gate = lab.host("near", internet=False), lab.host("gate", internet=False)
        target = lab.host("target", internet=False)
        lab.link(self.near, gate)
        lab.link(gate, target)
        for number in NUMBERS.values():
            for host, device, last in ((gate, "to-target", 1), (target, "to-gate", 2)):
                host.run(["ip", "addr", "add", f"10.9.{number}.{last}/24", "dev", device])
        gate.run(["sysctl", "-qw", "net.ipv4.ping_group_range=0 2147483647"])
        nodes = gate.directory / "nodes.json"
        write_nodes_json(nodes, start_nodes([gate]))
        near = VpnSide(self.near, nodes, OURS)
        routers = {ROOT: VpnSide(gate, nodes, OURS), ROOTLESS: VpnSide(gate, nodes, OURS, user=USER)}
        for name, side in routers.items():
            network = f"10.9.{NUMBERS[name]}.0/24"
            text = config({"near": near}, f'allow = ["{network}:*"]', f'advertise = ["{network}"]')
            (side.directory / "config.toml").write_text(text)
            side.up()
        peers = {f"gate{NUMBERS[name]}": side for name, side in routers.items()}
        (near.directory / "config.toml").write_text(config(peers, 'routes = "all"'))
        near.up()
        wait_until(partial(self._ready, near), "direct connections, and use of the networks", ONLINE_S, 0.2)
        self.ways = list(routers)
        if shutil.which(SSHUTTLE) is not None:
            self._start_sshuttle(apps.sshd(gate), str(gate.ipv4))
            self.ways.append(SSHUTTLE)
        apps.iperf3_server(target)

    @staticmethod
    def _ready(near: VpnSide) -> bool:
        peers = near.status().get("peers", [])
        used = [route["used"] for peer in peers for route in peer["routes"]]
        return [peer["path"] for peer in peers] == ["udp", "udp"] and used == [True, True]

    def _start_sshuttle(self, sshd: apps.Sshd, address: str) -> None:
        client = " ".join(sshd.client())
        network = f"10.9.{NUMBERS[SSHUTTLE]}.0/24"
        with (self.near.directory / "sshuttle.log").open("wb") as log:
            self.near.popen(
                ["sshuttle", "--method", "nft", "-e", client, "-r", f"root@{address}", network],
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        rules = ["nft", "list", "ruleset"]
        wait_until(lambda: network in self.near.run(rules).stdout, "the rules of sshuttle", 20)

    def mbit(self, way: str, seconds: int, *, reverse: bool) -> float:
        words = ["iperf3", "-J", "-c", f"10.9.{NUMBERS[way]}.2", "-t", str(seconds)]
        report = json.loads(
            self.near.run([*words, *(["-R"] if reverse else [])], timeout_s=seconds + 30).stdout
        )
        return float(report["end"]["sum_received"]["bits_per_second"]) / 1e6

    def ping_ms(self, way: str) -> float:
        words = ["ping", "-n", "-c", str(PINGS), "-i", "0.02", f"10.9.{NUMBERS[way]}.2"]
        return median([float(ms) for ms in re.findall(r" time=([\d.]+) ms", self.near.run(words).stdout)])


def main() -> None:
    given = arguments(__doc__, runs=3, seconds=4)
    rates: dict[tuple[str, bool], list[float]] = {}
    times: dict[str, list[float]] = {ROOT: [], ROOTLESS: []}
    with Lab() as lab:
        bench = Bench(lab)
        for run in range(given.runs):
            for reverse in (False, True):
                for way in bench.ways:
                    rate = bench.mbit(way, given.seconds, reverse=reverse)
                    rates.setdefault((way, reverse), []).append(rate)
            for way, found in times.items():
                found.append(bench.ping_ms(way))
            progress(f"run {run + 1}")
        ways = bench.ways
    rows = []
    for title, reverse in (("TCP ->, Mbit/s", False), ("TCP <-, Mbit/s", True)):
        figures = {way: rates[way, reverse] for way in ways}
        ratios = [ratio(figures[ROOTLESS], figures[way]) for way in ways if way != ROOTLESS]
        rows.append([title, *(spread(each, ".0f") for each in figures.values()), *ratios])
    pings = [spread(times[way], ".3f") if way in times else "-" for way in ways]
    rows.append(["ping, ms", *pings, ratio(times[ROOTLESS], times[ROOT]), *("-" for _ in ways[2:])])
    header = ("", *ways, *(f"to {way}" for way in (ROOT, *ways[2:])))
    table("A network behind a router without root", header, rows)


if __name__ == "__main__":
    main()
