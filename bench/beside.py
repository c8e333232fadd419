"""Pings and one TCP flow over a node's VPN, beside a download on the tuntox road of the same node.

One node serves the tuntox road and the VPN (`toxvpn run`). Its VPN peer is measured alone, then while a
client with a new identity downloads: on a link of `--slow` Mbit/s, and on one as fast as all others.
"""

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from lab import Host, Lab, apps

from . import traffic
from .harness import (
    GIVER_PORT,
    LOCALHOST,
    arguments,
    median,
    percentile,
    progress,
    start_giver,
    table,
)
from .pair import LISTEN_PORT, Client
from .served import Served
from .streams import MB

FILE_BYTES = 100 * MB
GOAL_PING_MS = 2.0
GOAL_SHARE = 0.8
RATE_GROWS_S = 4.0
"""toxcore's rate for lossless packets starts at 0.3 MB/s and grows 1.6 times per second."""


@dataclass(slots=True)
class Figures:
    ping_ms: list[float] = field(default_factory=list)
    mbit: list[float] = field(default_factory=list)
    download_mb_s: list[float] = field(default_factory=list)


class Download:
    """One file after the other, until the client ends."""

    def __init__(self, host: Host) -> None:
        self.bytes = 0
        self._host = host
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                with self._host.connect(LOCALHOST, LISTEN_PORT) as sock:
                    sock.sendall(FILE_BYTES.to_bytes(8))
                    left = FILE_BYTES
                    while left and (more := sock.recv(1 << 20)):
                        left -= len(more)
                        self.bytes += len(more)


@contextlib.contextmanager
def downloading(served: Served, mbit: float | None) -> Iterator[Download]:
    host = served.site.client
    with Client(served, GIVER_PORT, "--road", "tuntox") as client:
        client.wait_path("udp")
        time.sleep(1)
        if mbit is not None:
            host.rate(mbit)
        try:
            yield Download(host)
        finally:
            if mbit is not None:
                host.rate(None)


def measure(near: Host, address: str, pings: int, seconds: int, figures: Figures) -> None:
    figures.ping_ms += traffic.ping_ms(near, address, pings)
    figures.mbit.append(traffic.tcp_mbit(near, address, seconds))


def measure_beside(
    served: Served, mbit: float | None, act: Callable[[Figures], None], figures: Figures
) -> None:
    with downloading(served, mbit) as download:
        time.sleep(RATE_GROWS_S)
        before, began_s = download.bytes, time.monotonic()
        act(figures)
        figures.download_mb_s.append((download.bytes - before) / MB / (time.monotonic() - began_s))


def report(scenes: dict[str, Figures]) -> None:
    alone = scenes["alone"]
    rows = []
    for name, figures in scenes.items():
        share = median(figures.mbit) / median(alone.mbit)
        p50 = percentile(figures.ping_ms, 50)
        met = p50 < GOAL_PING_MS and share > GOAL_SHARE
        rows.append([
            name, f"{p50:.2f}", f"{percentile(figures.ping_ms, 95):.2f}", f"{max(figures.ping_ms):.2f}",
            f"{median(figures.mbit):.0f}", f"{share:.2f}",
            f"{median(figures.download_mb_s):.3f}" if figures.download_mb_s else "",
            "" if figures is alone else "met" if met else "MISSED",
        ])  # fmt: skip
    header = [
        "",
        "ping p50",
        "p95",
        "max, ms",
        "Mbit/s",
        "share",
        "download, MB/s",
        f"< {GOAL_PING_MS:g} ms, > {GOAL_SHARE:g}",
    ]
    table("The VPN beside a download on the tuntox road", header, rows)


def main() -> None:
    given = arguments(__doc__, runs=3, pings=60, seconds=3, slow=0.4)
    scenes = {
        "alone": Figures(),
        f"beside one of {given.slow:g} Mbit/s": Figures(),
        "beside a quick one": Figures(),
    }
    rates = dict(zip(scenes, (math.nan, given.slow, None), strict=True))
    with Lab() as lab:
        lab.bootstrap()
        host, near, far = lab.host("served"), lab.host("near"), lab.host("far")
        start_giver(host)
        apps.iperf3_server(host)
        served = Served(lab.nodes_json, host, caller=far, peer=near)
        served.wait_direct()
        address: str = served.peer.status()["peers"][0]["ipv4"]
        act = partial(measure, near, address, given.pings, given.seconds)
        for _ in range(given.runs):
            for name, figures in scenes.items():
                if name == "alone":
                    act(figures)
                else:
                    measure_beside(served, rates[name], act, figures)
                ping, mbit = percentile(figures.ping_ms, 50), figures.mbit[-1]
                download = f"{figures.download_mb_s[-1]:.2f} MB/s" if figures.download_mb_s else "none"
                progress(f"{name}: {ping:.2f} ms, {mbit:.0f} Mbit/s, download: {download}")
    report(scenes)


if __name__ == "__main__":
    main()
