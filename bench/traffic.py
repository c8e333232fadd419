"""Traffic to measure a tunnel with: one TCP flow, many small UDP packets, pings."""

import subprocess
from dataclasses import dataclass
from functools import partial

from lab import Host, LabError, apps, wait_until

from .harness import ONLINE_S, median, progress, ratio, spread, table

UDP_BYTES = 200
UDP_BUFFER = "1M"  # with the usual 208 kB packets are lost on the bare link too, in the receiver's socket


@dataclass(frozen=True, slots=True)
class Flow:
    """What one TCP flow carried, as the receiver saw it."""

    mbit: float
    gigabytes: float


@dataclass(frozen=True, slots=True)
class Datagrams:
    """A stream of UDP packets: thousands sent per second, thousands received in all, and losses."""

    sent_kpps: float
    received_thousand: float
    lost_percent: float


def tcp_flow(host: Host, address: str, seconds: int, *, reverse: bool = False) -> Flow:
    """One flow to the iperf3 server; `reverse`: from there."""
    report = apps.iperf3_report(host, address, *(["-R"] if reverse else []), seconds=seconds)
    received = report["sum_received"]
    return Flow(received["bits_per_second"] / 1e6, received["bytes"] / 1e9)


def tcp_mbit(host: Host, address: str, seconds: int, *, reverse: bool = False) -> float:
    return tcp_flow(host, address, seconds, reverse=reverse).mbit


def datagrams(host: Host, address: str, kpps: float, seconds: int) -> Datagrams:
    """Packets of UDP_BYTES at that rate to the iperf3 server, which counts the missing ones."""
    offered = ["-l", str(UDP_BYTES), "-b", f"{kpps * UDP_BYTES * 8:.0f}K", "-w", UDP_BUFFER]
    end = apps.iperf3_report(host, address, "-u", *offered, seconds=seconds)["sum"]
    received = (end["packets"] - end["lost_packets"]) / 1e3
    return Datagrams(end["packets"] / end["seconds"] / 1e3, received, end["lost_percent"])


def answers(host: Host, address: str) -> bool:
    return bool(host.ping(address, 1, 1.0))


def ping_ms(host: Host, address: str, count: int) -> list[float]:
    if not (times := host.ping(address, count)):
        raise LabError(f"{address} does not answer {host.name}")
    return times


def ping_under_load_ms(host: Host, address: str, count: int) -> list[float]:
    """While one TCP flow runs to the same address."""
    seconds = count * 0.05 + 2
    argv = ["iperf3", "-c", address, "-t", f"{seconds:.0f}"]
    flow = host.popen(argv, stdout=subprocess.DEVNULL)
    try:
        host.ping(address, 20)  # until the flow is at its speed
        return ping_ms(host, address, count)
    finally:
        flow.wait(seconds + 30)
        host.stop(flow)


FLOWS = {"IPv4 ->": (4, False), "IPv4 <-": (4, True), "IPv6 ->": (6, False), "IPv6 <-": (6, True)}
"""IP version, and whether the server sends."""

Ends = dict[str, tuple[Host, dict[int, str]]]
"""For each way: who measures, and the address of the other end by IP version."""


def serve_flows(ends: Ends, *servers: Host) -> None:
    """Starts iperf3 there, and waits until each end is answered."""
    for host in servers:
        apps.iperf3_server(host)
    for host, addresses in ends.values():
        for each in addresses.values():
            wait_until(partial(answers, host, each), f"answer from {each}", ONLINE_S)


def compare_flows(ends: Ends, runs: int, seconds: int) -> None:
    """One TCP flow each way, the ways by turns; prints the rates, and their ratios to the first way."""
    mbit: dict[str, dict[str, list[float]]] = {way: {flow: [] for flow in FLOWS} for way in ends}
    for run in range(runs):
        for flow, (version, reverse) in FLOWS.items():
            for way, (host, addresses) in ends.items():
                rate = tcp_mbit(host, addresses[version], seconds, reverse=reverse)
                mbit[way][flow].append(rate)
        progress(f"run {run + 1}: {', '.join(f'{w} {median(mbit[w][flow]):.0f} Mbit/s' for w in ends)}")
    first, *others = ends
    rows = [[way, *(spread(mbit[way][flow], ".0f") for flow in FLOWS)] for way in ends]
    for way in others:
        rows.append([f"ratio, {way}", *(ratio(mbit[way][flow], mbit[first][flow]) for flow in FLOWS)])
    table(f"One TCP flow, Mbit/s, median of {runs} runs of {seconds} s", ["", *FLOWS], rows)
