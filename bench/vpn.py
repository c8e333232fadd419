"""The VPN against the bare link, raw stock libtoxcore and the VPNs that people would pick instead.

Two hosts, one veth, everything up at once and measured by turns: one TCP flow each way over IPv4 and IPv6,
200-byte UDP packets at 100 000 per second, ping idle (also with processors kept awake) and beside a TCP flow.
"""

from dataclasses import dataclass, field

from lab import Lab, apps

from . import rivals, traffic
from .harness import OURS, STOCK, arguments, awake, median, percentile, progress, ratio, spread, table
from .raw_pair import RawPair
from .rivals import Addresses
from .vpn_pair import toxvpn_up

RAW_BYTES = 1372
FLOWS = {"IPv4 ->": (4, False), "IPv4 <-": (4, True), "IPv6 ->": (6, False), "IPv6 <-": (6, True)}
OURS_NAME = "toxvpn"
BARE = "bare link"


@dataclass(slots=True)
class Figures:
    mbit: dict[str, list[float]] = field(default_factory=lambda: {flow: [] for flow in FLOWS})
    sent_kpps: list[float] = field(default_factory=list)
    received_kpps: list[float] = field(default_factory=list)
    lost_percent: list[float] = field(default_factory=list)
    idle_ms: list[float] = field(default_factory=list)
    awake_ms: list[float] = field(default_factory=list)
    loaded_ms: list[float] = field(default_factory=list)


def measure(bench: "Bench", inner: Addresses, figures: Figures) -> None:
    for flow, (version, reverse) in FLOWS.items():
        address = inner.far_ipv4 if version == 4 else inner.far_ipv6
        figures.mbit[flow].append(traffic.tcp_mbit(bench.near, address, bench.seconds, reverse=reverse))
    udp = traffic.datagrams(bench.near, inner.far_ipv4, bench.seconds)
    figures.sent_kpps.append(udp.sent_kpps)
    figures.received_kpps.append(udp.received_kpps)
    figures.lost_percent.append(udp.lost_percent)
    figures.idle_ms += traffic.ping_ms(bench.near, inner.far_ipv4, bench.pings)
    with awake():
        figures.awake_ms += traffic.ping_ms(bench.near, inner.far_ipv4, bench.pings)
    figures.loaded_ms += traffic.ping_under_load_ms(bench.near, inner.far_ipv4, bench.pings)


class Bench:
    """The two hosts and what runs between them."""

    def __init__(self, lab: Lab, seconds: int, pings: int) -> None:
        self.seconds = seconds
        self.pings = pings
        self.near, self.far = lab.host("near", internet=False), lab.host("far", internet=False)
        link = lab.link(self.near, self.far)
        self.outer = Addresses(link.a_ipv4, link.b_ipv4, link.a_ipv6, link.b_ipv6)
        apps.iperf3_server(self.far)
        self.tunnels = {BARE: self.outer}
        self._start_rivals()
        self.tunnels[OURS_NAME] = toxvpn_up(self.near, self.far, OURS)
        rivals.wait_answer(self.near, self.tunnels[OURS_NAME], OURS_NAME)
        progress("toxvpn is up")
        self.raw = RawPair(self.near, self.far, link.b_ipv4, STOCK)
        self.raw.wait_direct()
        progress("raw stock toxcore is connected")

    def _start_rivals(self) -> None:
        found = rivals.installed()
        print(f"against {', '.join(f'{name} {version}' for name, version in found.items())}")
        for number, name in enumerate(rivals.RIVALS, 1):
            if name not in found:
                progress(f"{name} is not installed: left out")
                continue
            inner = self.tunnels[name] = Addresses.inside(number)
            rivals.build(name, self.near, self.far, self.outer, inner)
            rivals.wait_answer(self.near, inner, name)
            progress(f"{name} is up")

    def raw_mbit(self, seconds: float, *, reverse: bool) -> float:
        return self.raw.blast(RAW_BYTES, seconds, reverse=reverse) * RAW_BYTES * 8 / 1e6


def report(figures: dict[str, Figures], raw: dict[bool, list[float]], runs: int, seconds: int) -> None:
    others = [name for name in figures if name not in (BARE, OURS_NAME)]
    rows = [[name, *(spread(one.mbit[flow], ".0f") for flow in FLOWS)] for name, one in figures.items()]
    rows.append(["raw stock toxcore", *(spread(raw[reverse], ".0f") for _, reverse in FLOWS.values())])
    ours = figures[OURS_NAME].mbit
    rows.append(
        ["toxvpn / raw stock", *(ratio(ours[flow], raw[reverse]) for flow, (_, reverse) in FLOWS.items())]
    )
    if others:
        fastest = {flow: max((figures[name].mbit[flow] for name in others), key=median) for flow in FLOWS}
        rows.append(["toxvpn / fastest other", *(ratio(ours[flow], fastest[flow]) for flow in FLOWS)])
    table(
        f"One TCP flow (raw: packets of {RAW_BYTES} bytes), Mbit/s, median of {runs} runs of {seconds} s",
        ["", *FLOWS],
        rows,
    )
    table(
        f"UDP packets of {traffic.UDP_BYTES} bytes, {traffic.UDP_KPPS} kpps offered; ping, median and p99",
        ["", "sent kpps", "received kpps", "lost %", "ping idle ms", "CPUs awake", "under load"],
        [
            [
                name,
                f"{median(one.sent_kpps):.0f}",
                f"{median(one.received_kpps):.0f}",
                spread(one.lost_percent, ".2f"),
                both(one.idle_ms),
                both(one.awake_ms),
                both(one.loaded_ms),
            ]
            for name, one in figures.items()
        ],
    )


def both(times_ms: list[float]) -> str:
    return f"{median(times_ms):.2f} / {percentile(times_ms, 99):.2f}"


def main() -> None:
    given = arguments(__doc__, runs=3, seconds=4, pings=60)
    with Lab() as lab:
        bench = Bench(lab, given.seconds, given.pings)
        figures = {name: Figures() for name in bench.tunnels}
        raw: dict[bool, list[float]] = {False: [], True: []}
        for run in range(given.runs):
            for name, inner in bench.tunnels.items():
                measure(bench, inner, figures[name])
                progress(f"run {run + 1}, {name}: {figures[name].mbit['IPv4 ->'][-1]:.0f} Mbit/s")
            for reverse, rates in raw.items():
                rates.append(bench.raw_mbit(given.seconds, reverse=reverse))
            progress(f"run {run + 1}, raw stock toxcore: {raw[False][-1]:.0f} Mbit/s")
        report(figures, raw, given.runs, given.seconds)


if __name__ == "__main__":
    main()
