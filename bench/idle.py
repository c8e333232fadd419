"""Processor time and memory of a connected pair while nothing happens (goal: 0.5 % of a core each).

Server and client of one forward, public hosts, direct. Idle is measured after the path has become direct
and once more after a transfer, which must leave nothing running. A second table says what of the memory is
the run's own and what its stack helper's, also of the server before a client is there; and how long
`toxvpn -V`, the least that a command does, takes.
"""

import os
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

from lab import Lab, apps

from .cost import cpu_s, family
from .harness import OURS, TOXVPN, arguments, progress, spread, table
from .pair import Client, Server, Site, receive

GOAL_PERCENT = 0.5
SETTLE_S = 25.0  # then a node rests (toxvpn/tox/timing.py)
TRANSFER_BYTES = 10_000_000
VERSION_RUNS = 11
Process = Popen[bytes]


@dataclass(frozen=True, slots=True)
class Memory:
    rss_mb: float
    pss_mb: float

    def __str__(self) -> str:
        return f"{self.rss_mb:.1f} / {self.pss_mb:.1f}"


def memory(process: Process) -> Memory:
    """Memory of the process and its children, which share the stack helper's interpreter."""
    each = [memory_of(pid) for pid in family(process.pid)]
    return Memory(sum(one.rss_mb for one in each), sum(one.pss_mb for one in each))


def memory_of(pid: int) -> Memory:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    rss_kb, pss_kb = (re.findall(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)[0] for name in ("Rss", "Pss"))
    return Memory(int(rss_kb) / 1e3, int(pss_kb) / 1e3)


def parts(name: str, process: Process) -> list[str]:
    """A row: the run's own memory, that of its helpers, and both."""
    own, whole = memory_of(process.pid), memory(process)
    helpers = Memory(whole.rss_mb - own.rss_mb, whole.pss_mb - own.pss_mb)
    return [name, str(own), str(helpers), str(whole)]


def version_s() -> float:
    """How long `toxvpn -V` takes."""
    began_s = time.monotonic()
    subprocess.run([TOXVPN, "-V"], stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - began_s


def switches(process: Process) -> int:
    """The number of times the process went to sleep, and so about how often it woke."""
    text = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.findall(r"^voluntary_ctxt_switches:\s+(\d+)", text, re.MULTILINE)[0])


def idle(processes: dict[str, Process], seconds: float) -> dict[str, tuple[float, float]]:
    """Per cent of a core and wake-ups per second of each, over that time."""
    before = {name: (cpu_s(process.pid), switches(process)) for name, process in processes.items()}
    began_s = time.monotonic()
    time.sleep(seconds)
    took_s = time.monotonic() - began_s
    return {
        name: (
            100 * (cpu_s(process.pid) - before[name][0]) / took_s,
            (switches(process) - before[name][1]) / took_s,
        )
        for name, process in processes.items()
    }


def transfer(client: Client) -> None:
    with client.connect() as sock:
        sock.sendall(b"GET /file HTTP/1.0\r\n\r\n")
        receive(sock, TRANSFER_BYTES)


def main() -> None:
    given = arguments(__doc__, seconds=60.0)
    with Lab() as lab:
        lab.bootstrap()
        hosts = lab.host("server"), lab.host("client")
        hosts[0].directory.joinpath("file").write_bytes(os.urandom(TRANSFER_BYTES))
        apps.http_server(hosts[0], hosts[0].directory)
        server = Server(Site(*hosts, lab.nodes_json, OURS))
        time.sleep(SETTLE_S)
        rows = [parts("server alone", server.process)]
        with Client(server, apps.HTTP_PORT) as client:
            client.wait_path("udp")
            time.sleep(SETTLE_S)
            processes = {"server": server.process, "client": client.process}
            rows += [parts(f"{name} of a pair", process) for name, process in processes.items()]
            memory_before = {name: memory(process) for name, process in processes.items()}
            progress(f"idle for {given.seconds:g} s")
            before = idle(processes, given.seconds)
            progress(f"transferring {TRANSFER_BYTES / 1e6:g} MB")
            transfer(client)
            memory_after = {name: memory(process) for name, process in processes.items()}
            time.sleep(SETTLE_S)
            progress(f"idle for {given.seconds:g} s")
            after = idle(processes, given.seconds)
    table(
        f"An idle pair over {given.seconds:g} s, before and after {TRANSFER_BYTES / 1e6:g} MB through it",
        ["", "CPU % before", "after", "wake-ups/s", "RSS / PSS MB before", "after", f"goal {GOAL_PERCENT} %"],
        [
            [
                name,
                f"{before[name][0]:.2f}",
                f"{after[name][0]:.2f}",
                f"{before[name][1]:.0f}",
                str(memory_before[name]),
                str(memory_after[name]),
                "met" if max(before[name][0], after[name][0]) < GOAL_PERCENT else "MISSED",
            ]
            for name in processes
        ],
    )
    table("RSS / PSS, MB", ["", "the run", "its helper", "together"], rows)
    print(f"\ntoxvpn -V: {spread([1e3 * version_s() for _ in range(VERSION_RUNS)], '.0f')} ms")


if __name__ == "__main__":
    main()
