"""Faults of machines: asleep, as far as its programs can tell; killed; a router that forgets its connections.

Other faults are in cable.py (cut, UDP blocked) and world.py (other addresses, another network).
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from pyroute2.netlink.nfnetlink.nfctsocket import NFCTSocket

from .host import Host

SILENCE = """
table inet silence {{
  chain arriving {{
    type filter hook prerouting priority -400
    {family} saddr {address} drop
  }}
}}
"""
HEAR = "table inet silence {}\ndelete table inet silence"


def freeze(*processes: "subprocess.Popen[bytes]") -> None:
    """SIGSTOP to each process and all its descendants. CLOCK_MONOTONIC goes on, unlike in a real sleep."""
    _signal(processes, signal.SIGSTOP)


def thaw(*processes: "subprocess.Popen[bytes]") -> None:
    _signal(processes, signal.SIGCONT)


def kill(*processes: "subprocess.Popen[bytes]") -> None:
    """SIGKILL to each process and all its descendants; returns when these processes have ended."""
    _signal(processes, signal.SIGKILL)
    for process in processes:
        process.wait()


def forget_connections(router: Host) -> None:
    """Have the router's NAT forget all its mappings, as after a restart."""

    def flush() -> None:
        with NFCTSocket() as table:
            table.flush()

    router.call(flush)


def silence(host: Host, address: str) -> None:
    """From now on nothing from that address comes in, and nobody is told."""
    host.namespace.nft(SILENCE.format(family="ip6" if ":" in address else "ip", address=address))


def hear_again(host: Host) -> None:
    host.namespace.nft(HEAR)


def _signal(processes: "tuple[subprocess.Popen[bytes], ...]", number: signal.Signals) -> None:
    for process in processes:
        for pid in _tree(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def _tree(pid: int) -> Iterator[int]:
    """The process and its descendants, parents first, so that a stopped one has no new ones."""
    yield pid
    with contextlib.suppress(OSError):  # it has ended
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in task.joinpath("children").read_text().split():
                yield from _tree(int(child))
