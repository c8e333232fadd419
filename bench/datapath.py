"""The compiled packet path by itself, without kernel TCP and without toxcore: packets per second, one thread.

A super-packet of TCP is read from a TUN in memory and cut into packets ("outbound"); in the second
row those also arrive at another datapath, which checks, merges and writes them ("and inbound").
The rows below are single packets, as where there is no kernel offload, and small datagrams.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_network

from toxvpn.testing.craft import TIMESTAMP, ip_header, offloaded, tcp_packet, udp_packet
from toxvpn.testing.memory_carrier import MemoryCarrier
from toxvpn.testing.memory_path import FRIENDS, OWN, MemoryPath
from toxvpn.testing.memory_tun import VnetHeader

from .harness import arguments, spread, table

ROUTES = 1000  # beside the one that is used
BATCH = 20  # super-packets between two looks at the clock


@contextmanager
def sender(receiver: MemoryCarrier) -> Iterator[MemoryPath]:
    """A path whose packets arrive at `receiver` as from friend 3."""
    with MemoryPath() as path:
        path.carrier.join(receiver, 3)
        for index in range(ROUTES):
            path.datapath.set_route(ip_network(f"10.{index >> 8}.{index & 255}.0/24"), 4)
        yield path


@contextmanager
def receiver() -> Iterator[MemoryPath]:
    """A path whose friend 3 is the sender: the addresses are the other way round."""
    with MemoryPath() as path:
        path.datapath.remove_friend(3)
        for own, theirs in zip(OWN, FRIENDS[3], strict=True):
            path.datapath.remove_own_address(ip_network(own))
            path.datapath.add_own_address(ip_network(theirs))
            path.datapath.allow_source(ip_network(own), 3)
        yield path


def rate(path: MemoryPath, body: bytes, vnet: VnetHeader, packets: int, after: Callable[[], object]) -> float:
    """Packets per second of reading `body` again and again; the injecting is not counted."""
    spent_s, before = 0.0, path.datapath.counters(3).tx_packets
    for _ in range(BATCH):
        path.tun.inject(body, vnet)
        begun_s = time.perf_counter()
        path.datapath.read_tun()
        after()
        spent_s += time.perf_counter() - begun_s
    counted = path.datapath.counters(3).tx_packets - before
    assert counted == BATCH * packets, "packets were lost"
    return BATCH * packets / spent_s


def measure(runs: int, body: bytes, vnet: VnetHeader, packets: int) -> tuple[list[float], list[float]]:
    """Packets per second, outbound alone and with inbound, by turns."""
    alone: list[float] = []
    both: list[float] = []
    nobody = MemoryCarrier()
    with receiver() as far, sender(nobody) as blind, sender(far.carrier) as near:

        def arrive() -> None:
            far.carrier.flush_inbound()

        for _ in range(runs):
            alone.append(rate(blind, body, vnet, packets, lambda: None))
            both.append(rate(near, body, vnet, packets, arrive))
            far.tun.written()
    return alone, both


def main() -> None:
    given = arguments(__doc__, runs=200)
    rows = []
    for version in (4, 6):
        header = ip_header(version, OWN[version // 6], FRIENDS[3][version // 6])
        segment = 1368 - (72 if version == 6 else 52)
        cases = {
            f"IPv{version} TCP, super-packets": (
                *offloaded(tcp_packet(header, bytes(segment * 40), options=TIMESTAMP), segment),
                40,
            ),
            f"IPv{version} TCP, single": (
                tcp_packet(header, bytes(segment), options=TIMESTAMP),
                VnetHeader(),
                1,
            ),
            f"IPv{version} UDP of 200 bytes, single": (udp_packet(header, bytes(200)), VnetHeader(), 1),
        }
        for name, (body, vnet, packets) in cases.items():
            alone, both = measure(given.runs, body, vnet, packets)
            rows += [row(name + ", outbound", alone), row("  and inbound", both)]
    table(f"One thread, median of {given.runs} runs", ["", "kpps", "ns a packet"], rows)


def row(name: str, rates: list[float]) -> list[str]:
    return [
        name,
        spread([rate / 1e3 for rate in rates], ".0f"),
        spread([1e9 / rate for rate in rates], ".0f"),
    ]


if __name__ == "__main__":
    main()
