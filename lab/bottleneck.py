"""A host whose own interface is the bottleneck, and TCP that fills whatever queue there is in front of it."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

from .host import Host

QUEUE_PACKETS = 1000
"""Whatever their size, as in the queue of a network card without anything smarter."""


def fifo(host: Host, mbit: float | None) -> None:
    """Limit what the host sends to this rate, first come first served; None removes the limit."""
    device = host.interface
    host.run(["tc", "qdisc", "del", "dev", device, "root"], check=False)
    if mbit is None:
        return
    host.run(["tc", "qdisc", "add", "dev", device, "root", "handle", "1:", "htb", "default", "10"])
    rate = ["htb", "rate", f"{mbit}mbit", "burst", "32k"]
    host.run(["tc", "class", "add", "dev", device, "parent", "1:", "classid", "1:10", *rate])
    limit = ["pfifo", "limit", str(QUEUE_PACKETS)]
    host.run(["tc", "qdisc", "add", "dev", device, "parent", "1:10", *limit])


def loss_based(process: "subprocess.Popen[bytes]") -> None:
    """Use Reno, which fills queues, in the program's own namespace (CUBIC is not allowed there)."""
    outside = {_network("self"), _network(process.pid)}
    for pid in _family(process.pid):
        if _network(pid) not in outside:
            setting = "net.ipv4.tcp_congestion_control=reno"
            subprocess.run(["nsenter", "-t", str(pid), "-n", "sysctl", "-qw", setting], check=True)
            return
    raise LookupError(f"process {process.pid} has made no network namespace")


def _network(pid: int | str) -> Path:
    return Path(f"/proc/{pid}/ns/net").readlink()


def _family(pid: int) -> Iterator[int]:
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from _family(int(child))
