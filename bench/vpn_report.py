"""What vpn.py has measured, and its tables."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from . import traffic
from .cost import Used
from .harness import median, percentile, ratio, spread, table
from .traffic import FLOWS, Datagrams, Flow

BARE = "bare link"
OURS_NAME = "toxvpn"
RAW = "raw stock toxcore"
RAW_BYTES = 1372

__all__ = ["BARE", "FLOWS", "OURS_NAME", "RAW", "RAW_BYTES", "Figures", "report"]


@dataclass(slots=True)
class Figures:
    """Of one tunnel. Processor time is in seconds for a GB of TCP, over all flows."""

    mbit: dict[str, list[float]] = field(default_factory=lambda: {flow: [] for flow in FLOWS})
    sender_s: list[float] = field(default_factory=list)
    receiver_s: list[float] = field(default_factory=list)
    kernel_s: list[float] = field(default_factory=list)
    tunnel_s: list[float] = field(default_factory=list)
    traffic_s: list[float] = field(default_factory=list)
    kpps: list[float] = field(default_factory=list)
    packet_us: list[float] = field(default_factory=list)
    idle_ms: list[float] = field(default_factory=list)
    awake_ms: list[float] = field(default_factory=list)
    loaded_ms: list[float] = field(default_factory=list)

    def add_flow(self, name: str, flow: Flow, used: Used) -> None:
        _, reverse = FLOWS[name]
        ends = (used.far_s, used.near_s) if reverse else (used.near_s, used.far_s)
        self.mbit[name].append(flow.mbit)
        for values, seconds in (
            (self.sender_s, ends[0]),
            (self.receiver_s, ends[1]),
            (self.kernel_s, used.kernel_s),
            (self.tunnel_s, used.tunnel_s),
            (self.traffic_s, used.traffic_s),
        ):
            values.append(seconds / flow.gigabytes)

    def add_datagrams(self, found: Datagrams, used: Used) -> None:
        self.kpps.append(found.sent_kpps)
        self.packet_us.append(used.tunnel_s * 1e3 / found.received_thousand)

    def summary(self) -> str:
        return (
            f"{self.mbit['IPv4 ->'][-1]:.0f} Mbit/s, {self.tunnel_s[-len(FLOWS)]:.2f} processor s for a GB, "
            f"{self.kpps[-1]:.0f} kpps"
        )


Names = Mapping[str, Figures]


def report(figures: Names, raw: Mapping[bool, Sequence[float]], how: str) -> None:
    """Prints the tables; `raw` has the rates of raw stock libtoxcore, by `reverse`."""
    others = [name for name in figures if name not in (BARE, OURS_NAME)]
    rows = [[name, *(spread(one.mbit[flow], ".0f") for flow in FLOWS)] for name, one in figures.items()]
    if raw:
        rows.append([RAW, *(spread(raw[reverse], ".0f") for _, reverse in FLOWS.values())])
    if ours := figures.get(OURS_NAME):
        if raw:
            against_raw = (ratio(ours.mbit[flow], raw[reverse]) for flow, (_, reverse) in FLOWS.items())
            rows.append([f"{OURS_NAME} / {RAW}", *against_raw])
        for name in others:
            theirs = figures[name].mbit
            rows.append([f"{OURS_NAME} / {name}", *(ratio(ours.mbit[flow], theirs[flow]) for flow in FLOWS)])
    table(f"One TCP flow (raw: packets of {RAW_BYTES} bytes), Mbit/s, {how}", ["", *FLOWS], rows)
    processor_time(figures, others)
    small_packets(figures)


def processor_time(figures: Names, others: Sequence[str]) -> None:
    columns: dict[str, Callable[[Figures], Sequence[float]]] = {
        "sender": lambda one: one.sender_s,
        "receiver": lambda one: one.receiver_s,
        "kernel": lambda one: one.kernel_s,
        "in all": lambda one: one.tunnel_s,
    }
    rows = [
        [
            name,
            *(f"{median(values(one)):.2f}" for values in columns.values()),
            f"{8 / median(one.tunnel_s):.2f}" if name != BARE else "-",
            f"{median(one.traffic_s):.2f}",
        ]
        for name, one in figures.items()
    ]
    if ours := figures.get(OURS_NAME):
        for name in others:
            theirs = figures[name]
            sender, receiver, _, in_all = (ratio(of(ours), of(theirs)) for of in columns.values())
            rows.append([f"{OURS_NAME} / {name}", sender, receiver, "-", in_all, "-", "-"])
    header = ["", *columns, "Gbit/s per busy core", "iperf3's"]
    table("Processor time for a GB of these flows, s", header, rows)


def small_packets(figures: Names) -> None:
    table(
        f"UDP packets of {traffic.UDP_BYTES} bytes until 0.1 % are lost; ping, median and p99",
        ["", "kpps", "processor µs a packet", "ping idle ms", "CPUs awake", "under load"],
        [
            [
                name,
                spread(one.kpps, ".0f"),
                f"{median(one.packet_us):.2f}" if one.packet_us else "-",
                both(one.idle_ms),
                both(one.awake_ms),
                both(one.loaded_ms),
            ]
            for name, one in figures.items()
        ],
    )


def both(times_ms: Sequence[float]) -> str:
    return f"{median(times_ms):.2f} / {percentile(times_ms, 99):.2f}"
