"""The fast road against the tuntox road, both as an unprivileged user on both sides, and the VPN beside them.

Two hosts and one veth; then a wire of 25 ms each way; each without loss and with 1 % and 5 % of the packets
lost in both directions. Every fetch has a client of its own, with a new identity: toxcore's rate for lossless
packets starts at 0.3 MB/s. A fetch ends after `--limit` seconds, and how much sooner
the fast road was is given per MB that came.

`--only` names some of: vpn stalled plain 1% 5% delay delay,1% delay,5%.
"""

import contextlib
import math
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from lab import Delay, Lab, LabError, apps, wait_until

from . import traffic
from .harness import (
    GIVER_PORT,
    LOCALHOST,
    OURS,
    arguments,
    awake,
    median,
    percentile,
    progress,
    start_giver,
    table,
)
from .pair import LISTEN_PORT, Client, Server, Site
from .roads_report import ROADS, SIZES_BYTES, STREAMS, USER, Figures, report, report_vpn, shown
from .streams import MB, Caller
from .vpn_pair import toxvpn_up

IPERF3_LISTEN_PORT = 7001
STALLED = 200
ONE_WAY_MS = 25
LOSSES = {"": 0.0, "1%": 1.0, "5%": 5.0}
SETTLE_S = 1.0


class Bench:
    """A warm server on one of two hosts, and fresh clients on the other."""

    def __init__(self, lab: Lab, name: str, limit_s: float, delay: Delay | None = None) -> None:
        self.limit_s = limit_s
        server_host, self.host = lab.host(f"server{name}"), lab.host(f"client{name}", delay=delay)
        start_giver(server_host)
        apps.iperf3_server(server_host)
        self.server = Server(Site(server_host, self.host, lab.nodes_json, OURS, USER))

    @contextlib.contextmanager
    def client(self, road: str, loss_percent: float = 0.0) -> Iterator[Caller]:
        """Run a fresh client; packets are lost only after it has connected."""
        iperf3 = f"{LOCALHOST}:{IPERF3_LISTEN_PORT}:{LOCALHOST}:{apps.IPERF3_PORT}"
        with Client(self.server, GIVER_PORT, "--road", road, "-L", iperf3) as client:
            client.wait_path("udp")
            caller = Caller(self.host, LISTEN_PORT, self.limit_s)
            if caller.openings_ms(1) == [math.inf]:
                raise LabError(f"no stream; the log of the client:\n{client.log.read_text()}")
            time.sleep(SETTLE_S)
            if loss_percent:
                self.host.loss(loss_percent)
            yield caller
        if loss_percent:
            self.host.loss(0)

    def measure(self, scene: str, loss_percent: float, road: str, figures: Figures, trips: int) -> None:
        def log_progress(what: str) -> None:
            progress(f"{scene}, {road}: {what}")

        with self.client(road, loss_percent) as caller:
            figures.rtt_ms += caller.round_trips_ms(trips)
            with awake():
                figures.awake_rtt_ms += caller.round_trips_ms(trips)
            figures.open_ms += caller.openings_ms(trips // 4)
        log_progress(f"round trip p50 {percentile(figures.rtt_ms, 50):.2f} ms")
        for size, fetched in figures.fetched.items():
            with self.client(road, loss_percent) as caller:
                fetched.append(caller.fetch(size))
            log_progress(f"{size / MB:g} MB: {shown(fetched[-1:])} s")
        with self.client(road, loss_percent) as caller:
            figures.crowds.append(caller.crowd(STREAMS))
        log_progress(str(figures.crowds[-1]))

    def beside_vpn(self, vpn_address: str, seconds: int) -> dict[str, tuple[float, float]]:
        """Mbit/s of one TCP flow to the server and back: through the fast road, and over the VPN."""
        rates = {}
        with self.client("fast"):
            for reverse, way in ((False, "->"), (True, "<-")):
                through = apps.iperf3(
                    self.host, LOCALHOST, IPERF3_LISTEN_PORT, seconds=seconds, reverse=reverse
                )
                over = traffic.tcp_mbit(self.host, vpn_address, seconds, reverse=reverse)
                rates[way] = through, over
                progress(f"{way} {through:.0f} Mbit/s through the fast road, {over:.0f} over the VPN")
        return rates

    def beside_stalled(self, road: str) -> list[str]:
        """A stream alone, beside one that nobody reads, beside STALLED; and the memory that these took."""
        with self.client(road) as caller:
            cells = [one_stream(caller)]
            with caller.stalled(1, SIZES_BYTES[-1]):
                cells.append(one_stream(caller))
            before = self.memory_mb(), kernel_mb()
            with caller.stalled(STALLED, SIZES_BYTES[-1]):
                wait_until(has_settled(), "end of filling the buffers of readers that have stalled", 30, 1)
                cells.append(one_stream(caller))
                after = self.memory_mb(), kernel_mb()
        cells += [f"{now - then:.1f}" for now, then in zip(after, before, strict=True)]
        progress(f"stalled readers, {road}: {cells}")
        return [road, *cells]

    def memory_mb(self) -> float:
        """Resident memory of the server."""
        status = Path(f"/proc/{self.server.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS"))


def kernel_mb() -> float:
    """Kernel memory of all TCP sockets of this machine."""
    [line] = [line for line in Path("/proc/net/sockstat").read_text().splitlines() if line.startswith("TCP:")]
    return int(line.split()[-1]) * resource.getpagesize() / MB


def has_settled() -> Callable[[], bool]:
    """A condition that holds once the kernel's TCP memory is as it was at the call before."""
    last = 0.0

    def condition() -> bool:
        nonlocal last
        before, last = last, kernel_mb()
        return abs(last - before) < 1

    return condition


def one_stream(caller: Caller) -> str:
    return f"{median(caller.round_trips_ms(50)):.2f} / {shown([caller.fetch(10 * MB)])}"


def main() -> None:
    given = arguments(__doc__, runs=1, limit=20.0, trips=200, seconds=4, only="")
    only = given.only.split()
    with Lab() as lab:
        lab.bootstrap()
        bench = Bench(lab, "", given.limit)
        if not only or "vpn" in only:
            inside = toxvpn_up(bench.host, bench.server.site.server, OURS)
            report_vpn([bench.beside_vpn(inside.far_ipv4, given.seconds) for _ in range(given.runs)])
        if not only or "stalled" in only:
            header = ["", "alone", "beside 1", f"beside {STALLED}", "server +MB", "kernel +MB"]
            rows = [bench.beside_stalled(road) for road in ROADS]
            table("Beside streams that nobody reads: round trip, ms / fetch of 10 MB, s", header, rows)
        for wire, delay in (("", None), ("delay", Delay(ONE_WAY_MS))):
            scenes = {",".join(filter(None, (wire, loss))) or "plain": LOSSES[loss] for loss in LOSSES}
            wanted = {name: loss for name, loss in scenes.items() if not only or name in only}
            if delay and wanted:
                bench = Bench(lab, "far", given.limit, delay)
            for scene, loss_percent in wanted.items():
                figures = {road: Figures() for road in ROADS}
                for _ in range(given.runs):
                    for road in ROADS:
                        bench.measure(scene, loss_percent, road, figures[road], given.trips)
                report(scene, figures)


if __name__ == "__main__":
    main()
