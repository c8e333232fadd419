"""Pings beside one TCP flow on an uplink that is the machine's own bottleneck: a FIFO of 1000 packets.

One host has one toxvpn, for the VPN and for forwards. TCP is CUBIC, and Reno on the fast road. What is pinged
is another host over the bare link, then as a peer over the VPN, while the flow goes through the bare link,
the VPN or the fast road. Last: who gets how much when a bare flow and one through the VPN share the queue.
"""

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from harness import (
    ONLINE_S,
    OURS,
    TOXVPN,
    Host,
    Lab,
    apps,
    arguments,
    median,
    percentile,
    progress,
    table,
    wait_until,
)
from pair import LISTEN_PORT, LOCALHOST, Client, Site
from vpn_pair import VpnSide
from vpns import ipv4_only

from lab.bottleneck import fifo, loss_based

GOAL_MS = 20
"""More than over the bare link."""
OTHER_PORT = 5302
CONFIGURATION = """
[node]
nodes_file = "{nodes}"
[server]
secret_file = "{directory}/secret"
[vpn]
interface = "tun-toxvpn"
[peers.away]
id = "{tox_id}"
"""


@dataclass
class Node:
    """The host's toxvpn."""

    site: Site
    tox_id: str


@dataclass
class Scene:
    host: Host
    caller: Host
    away: Host
    inner: str  # the other VPN peer's address


def prepare(lab: Lab) -> Scene:
    lab.bootstrap()
    host, caller, away = (ipv4_only(lab.host(name)) for name in ("host", "caller", "away"))
    directory = host.directory / "toxvpn"
    directory.mkdir(mode=0o700)
    tox_id = host.run([TOXVPN, "id", "-C", str(directory)]).stdout.strip()
    side = VpnSide(away, lab.nodes_json, OURS)
    configuration = CONFIGURATION.format(nodes=lab.nodes_json, directory=directory, tox_id=side.tox_id)
    for name, text in (("secret", "bench\n"), ("config.toml", configuration)):
        directory.joinpath(name).write_text(text)
        directory.joinpath(name).chmod(0o600)
    apps.iperf3_server(host)
    for port in (apps.IPERF3_PORT, OTHER_PORT):
        apps.iperf3_server(away, port)
    with directory.with_suffix(".log").open("wb") as log:
        process = host.popen([TOXVPN, "run", "-C", directory], stdout=subprocess.DEVNULL, stderr=log)
    node = Node(Site(host, caller, lab.nodes_json, OURS), tox_id)
    side.up(tox_id)
    Client(node, apps.IPERF3_PORT, "--road", "fast").wait_path("udp")
    wait_until(partial(VpnSide.is_direct, side), "direct connection of toxvpn", ONLINE_S, 0.2)
    loss_based(process)
    return Scene(host, caller, away, side.status()["self"]["ipv4"])


def flow(host: Host, seconds: int, *where: str) -> "subprocess.Popen[bytes]":
    return host.popen(["iperf3", "-J", "-t", str(seconds), *where], stdout=subprocess.PIPE)


def mbit_s(transfer: "subprocess.Popen[bytes]") -> float:
    end: Any = json.loads(transfer.communicate(timeout=120)[0])["end"]
    return float(end["sum_received"]["bits_per_second"]) / 1e6


def beside(
    scene: Scene, start: Callable[[], "subprocess.Popen[bytes]"], address: str, seconds: int
) -> list[str]:
    """Mbit/s of the flow; median, 95th percentile and maximum of pings in its second half."""
    transfer = start()
    scene.host.ping(LOCALHOST, count=seconds * 10)  # half of its time
    pings = scene.host.ping(address, count=seconds * 8, timeout_s=5)
    figures = [median(pings), percentile(pings, 95), max(pings)] if pings else [float("inf")] * 3
    return [f"{mbit_s(transfer):.1f}", *(f"{ms:.0f}" for ms in figures)]


def main() -> None:
    given = arguments(__doc__, rates="5 20 100", seconds=15)
    with Lab() as lab:
        scene = prepare(lab)
        bare = str(scene.away.ipv4)
        upload = ("-C", "cubic", "-c")
        flows: dict[str, tuple[Callable[[], subprocess.Popen[bytes]], str]] = {
            "bare link": (partial(flow, scene.host, given.seconds, *upload, bare), bare),
            "VPN": (partial(flow, scene.host, given.seconds, *upload, scene.inner), scene.inner),
            "fast road": (
                partial(flow, scene.caller, given.seconds, "-R", "-p", str(LISTEN_PORT), "-c", LOCALHOST),
                scene.inner,
            ),
        }
        rows = []
        shares = []
        for rate in map(int, given.rates.split()):
            fifo(scene.host, rate)
            below = 0.0
            for name, (start, address) in flows.items():
                progress(f"{rate} Mbit/s, {name}")
                figures = beside(scene, start, address, given.seconds)
                below = below or float(figures[1])
                met = (
                    "" if name == "bare link" else "met" if float(figures[1]) <= below + GOAL_MS else "MISSED"
                )
                rows.append([f"{rate} Mbit/s, {name}", *figures, met])
            both = [start() for start, _ in list(flows.values())[:1]]
            both.append(flow(scene.host, given.seconds, *upload, scene.inner, "-p", str(OTHER_PORT)))
            shares.append([f"{rate} Mbit/s", *(f"{mbit_s(transfer):.1f}" for transfer in both)])
        table(
            "Pings beside one TCP flow over an uplink with a FIFO, ms",
            ["", "flow Mbit/s", "median", "p95", "max", f"goal: bare + {GOAL_MS}"],
            rows,
        )
        table("Both at once, Mbit/s", ["", "bare", "VPN"], shares)


if __name__ == "__main__":
    main()
