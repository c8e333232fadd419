"""Traffic to measure a tunnel with: one TCP flow, many small UDP packets, pings."""

import subprocess
from dataclasses import dataclass

from lab import Host, LabError, apps

UDP_BYTES = 200
UDP_KPPS = 100
UDP_BUFFER = "1M"  # with the usual 208 kB packets are lost on the bare link too, in the receiver's socket


@dataclass(frozen=True, slots=True)
class Datagrams:
    """Rates of a stream of UDP packets, thousands per second, and its losses."""

    sent_kpps: float
    received_kpps: float
    lost_percent: float


def tcp_mbit(host: Host, address: str, seconds: int, *, reverse: bool = False) -> float:
    """One flow, as the receiver saw it, in Mbit/s; `reverse`: from the server."""
    return apps.iperf3(host, address, seconds=seconds, reverse=reverse)


def datagrams(host: Host, address: str, seconds: int) -> Datagrams:
    """Packets of UDP_BYTES at UDP_KPPS to the iperf3 server, which counts the missing ones."""
    offered = ["-l", str(UDP_BYTES), "-b", f"{UDP_BYTES * 8 * UDP_KPPS}K", "-w", UDP_BUFFER]
    end = apps.iperf3_report(host, address, "-u", *offered, seconds=seconds)["sum"]
    sent = end["packets"] / end["seconds"] / 1e3
    return Datagrams(sent, sent * (1 - end["lost_percent"] / 100), end["lost_percent"])


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
