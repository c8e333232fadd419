"""The VPN against the bare link, raw stock libtoxcore and the VPNs that people would pick instead.

Two hosts, one veth, everything up at once and measured by turns: one TCP flow each way over IPv4 and IPv6
with the processor time that it takes, how many 200-byte UDP packets per second pass until 0.1 % are lost,
ping idle (also with processors kept awake) and beside a TCP flow. `--only "toxvpn wireguard-go"` measures
these alone.
"""

import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from lab import Lab, apps

from . import rivals, traffic
from .cost import Meter, Used
from .harness import OURS, STOCK, arguments, awake, progress
from .raw_pair import RawPair
from .rivals import RIVALS, Addresses
from .search import greatest
from .vpn_pair import VpnPair
from .vpn_report import BARE, FLOWS, OURS_NAME, RAW, RAW_BYTES, Figures, report

UDP_START_KPPS = 16.0
UDP_LEAST_KPPS = 1.0
UDP_SECONDS = 1
LOST_PERCENT = 0.1
OFFERED = 0.98
"""The share of the wanted rate that iperf3 must have sent: where it cannot, the search ends."""
TRIES = 2
"""With a rate: what loses packets once may have been disturbed."""
ALL = (BARE, *RIVALS, OURS_NAME, RAW)


@dataclass(frozen=True, slots=True)
class Tunnel:
    """The addresses inside, and the processes at each end."""

    inner: Addresses
    near: Sequence[int] = ()
    far: Sequence[int] = ()


class Bench:
    """The two hosts and what runs between them."""

    def __init__(self, lab: Lab, chosen: Sequence[str], seconds: int, pings: int) -> None:
        self.seconds = seconds
        self.pings = pings
        self.near, self.far = lab.host("near", internet=False), lab.host("far", internet=False)
        link = lab.link(self.near, self.far)
        self.outer = Addresses(link.a_ipv4, link.b_ipv4, link.a_ipv6, link.b_ipv6)
        self._iperf3 = apps.iperf3_server(self.far)
        self.tunnels = {BARE: Tunnel(self.outer)} if BARE in chosen else {}
        self._start_rivals([name for name in RIVALS if name in chosen])
        if OURS_NAME in chosen:
            self._start_ours()
        self.raw: RawPair | None = None
        if RAW in chosen:
            self.raw = RawPair(self.near, self.far, link.b_ipv4, STOCK)
            self.raw.wait_direct()
            progress(f"{RAW} is connected")

    def _start_rivals(self, chosen: Sequence[str]) -> None:
        found = rivals.available(self.near, chosen)
        against = ", ".join(f"{name} {version}" for name, version in found.items())
        print(textwrap.fill(f"against {against or 'no other'}", 110))
        for name in found:
            inner = Addresses.inside(list(RIVALS).index(name) + 1)
            near, far = rivals.build(name, self.near, self.far, self.outer, inner)
            rivals.wait_answer(self.near, inner, name)
            self.tunnels[name] = Tunnel(inner, near.pids, far.pids)
            progress(f"{name} is up")

    def _start_ours(self) -> None:
        pair = VpnPair(self.near, self.far, OURS)
        inner = pair.start()
        rivals.wait_answer(self.near, inner, OURS_NAME)
        near, far = pair.pids
        self.tunnels[OURS_NAME] = Tunnel(inner, [near], [far])
        progress(f"{OURS_NAME} is up")

    def measure(self, tunnel: Tunnel, figures: Figures) -> None:
        for flow in FLOWS:
            self._flow(tunnel, flow, figures)
        self._datagrams(tunnel, figures)
        address = tunnel.inner.far_ipv4
        figures.idle_ms += traffic.ping_ms(self.near, address, self.pings)
        with awake():
            figures.awake_ms += traffic.ping_ms(self.near, address, self.pings)
        figures.loaded_ms += traffic.ping_under_load_ms(self.near, address, self.pings)

    def _flow(self, tunnel: Tunnel, name: str, figures: Figures) -> None:
        version, reverse = FLOWS[name]
        address = tunnel.inner.far_ipv4 if version == 4 else tunnel.inner.far_ipv6
        meter = self._meter(tunnel)
        before = meter.read()
        flow = traffic.tcp_flow(self.near, address, self.seconds, reverse=reverse)
        figures.add_flow(name, flow, meter.read() - before)

    def _datagrams(self, tunnel: Tunnel, figures: Figures) -> None:
        """Looks for the greatest rate that passes, and keeps what was measured at it."""
        passed: dict[float, tuple[traffic.Datagrams, Used]] = {}
        meter = self._meter(tunnel)

        def passes(kpps: float) -> bool:
            for _ in range(TRIES):
                before = meter.read()
                found = traffic.datagrams(self.near, tunnel.inner.far_ipv4, kpps, UDP_SECONDS)
                used = meter.read() - before
                if found.sent_kpps < OFFERED * kpps:
                    return False
                if found.lost_percent <= LOST_PERCENT:
                    passed[kpps] = found, used
                    return True
            return False

        if (kpps := greatest(passes, UDP_START_KPPS, UDP_LEAST_KPPS)) is None:
            figures.kpps.append(0.0)
        else:
            figures.add_datagrams(*passed[kpps])

    def _meter(self, tunnel: Tunnel) -> Meter:
        return Meter(tunnel.near, tunnel.far, [self._iperf3.pid])


def raw_mbit(raw: RawPair, seconds: int, *, reverse: bool) -> float:
    return raw.blast(RAW_BYTES, seconds, reverse=reverse) * RAW_BYTES * 8 / 1e6


def named(words: str) -> list[str]:
    """Those that `--only` names, or all. Raises ValueError."""
    wanted = words.replace(",", " ").split()
    words_of = {name: name.replace(" ", "-") for name in ALL}
    if unknown := set(wanted) - set(words_of.values()):
        known = ", ".join(words_of.values())
        raise ValueError(f"--only: there is no {', '.join(sorted(unknown))}; there are {known}")
    return [name for name, word in words_of.items() if word in wanted or not wanted]


def main() -> None:
    given = arguments(__doc__, runs=3, seconds=3, pings=60, only="")
    try:
        chosen = named(given.only)
    except ValueError as error:
        sys.exit(str(error))
    with Lab() as lab:
        bench = Bench(lab, chosen, given.seconds, given.pings)
        figures = {name: Figures() for name in bench.tunnels}
        raw: dict[bool, list[float]] = {}
        for run in range(given.runs):
            for name, tunnel in bench.tunnels.items():
                bench.measure(tunnel, figures[name])
                progress(f"run {run + 1}, {name}: {figures[name].summary()}")
            if bench.raw:
                for reverse in (False, True):
                    raw.setdefault(reverse, []).append(raw_mbit(bench.raw, given.seconds, reverse=reverse))
        report(figures, raw, f"median of {given.runs} runs of {given.seconds} s")


if __name__ == "__main__":
    main()
