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

from lab import Host, Lab, apps
from lab.bottleneck import fifo, loss_based

from .harness import LOCALHOST, arguments, median, percentile, progress, table
from .pair import LISTEN_PORT, Client
from .served import Served

GOAL_MS = 20
"""More than over the bare link."""
OTHER_PORT = 5302


@dataclass
class Scene:
    host: Host
    caller: Host
    away: Host
    inner: str  # the other VPN peer's address


def prepare(lab: Lab) -> Scene:
    lab.bootstrap()
    host, caller, away = (lab.host(name, ipv6=False) for name in ("host", "caller", "away"))
    apps.iperf3_server(host)
    for port in (apps.IPERF3_PORT, OTHER_PORT):
        apps.iperf3_server(away, port)
    served = Served(lab.nodes_json, host, caller=caller, peer=away)
    Client(served, apps.IPERF3_PORT, "--road", "fast").wait_path("udp")
    served.wait_direct()
    loss_based(served.process)
    return Scene(host, caller, away, served.peer.status()["self"]["ipv4"])


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
