"""Whether streams outlive a fault with all their bytes: sleep, other addresses, no network, also for long.

Between two hosts, through `-L` on the fast road, or over the VPN: two streams that carry bulk data each way
all the time, and one that is idle. After the fault they go on for a while. What was sent and what has
arrived is compared by BLAKE2b. "pause" is the longest time in which a busy one received nothing, "after" the
longest after the end of the fault. The idle one is asked a second after that; "idle" is how long that took.
"""

import hashlib
import os
import re
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from socket import SHUT_WR
from socket import socket as Socket  # noqa: N812

from lab import Lab, wait_until

from .fault_pairs import TRAFFIC, Pair
from .faults import LOST_S, PUBLIC, Fault, hosts
from .harness import arguments, progress, table

CHUNK_BYTES = 64 * 1024
PAUSE_S = 0.02
"""Between chunks: 3 MB/s, so that the machine is not what stands still."""


class Bulk:
    """A stream that carries random bytes from `near` to `far` until it is finished."""

    def __init__(self, near: Socket, far: Socket) -> None:
        for sock in (near, far):
            sock.settimeout(LOST_S * 10)
        self.failure = ""
        self.arrived_s = [time.monotonic()]
        self._sent, self._received = hashlib.blake2b(), hashlib.blake2b()
        self.bytes = 0
        self._enough = threading.Event()
        self._threads = [
            threading.Thread(target=self._guarded, args=each, daemon=True)
            for each in ((self._send, near), (self._receive, far))
        ]
        for thread in self._threads:
            thread.start()

    def finish(self) -> bool:
        """Whether every byte has arrived, and the end of the stream."""
        self._enough.set()
        for thread in self._threads:
            thread.join(LOST_S)
        return not self.failure and self._sent.digest() == self._received.digest()

    def longest_pause(self, since_s: float = 0.0) -> float:
        """Of what came after `since_s`, counted from then at the earliest."""
        times = [since_s, *(each for each in self.arrived_s if each > since_s)] if since_s else self.arrived_s
        return max((b - a for a, b in pairwise(times)), default=0.0)

    def _guarded(self, work: Callable[[Socket], None], sock: Socket) -> None:
        try:
            work(sock)
        except OSError as failure:
            self.failure = str(failure)

    def _send(self, sock: Socket) -> None:
        while not self._enough.wait(PAUSE_S):
            data = os.urandom(CHUNK_BYTES)
            self._sent.update(data)
            sock.sendall(data)
        sock.shutdown(SHUT_WR)

    def _receive(self, sock: Socket) -> None:
        while data := sock.recv(1 << 18):
            self.arrived_s.append(time.monotonic())
            self._received.update(data)
            self.bytes += len(data)


class Idle:
    """A stream that says nothing until it is asked."""

    def __init__(self, near: Socket, far: Socket) -> None:
        self._near, self._far = near, far

    def answer_s(self) -> float:
        """Raises OSError."""
        began_s = time.monotonic()
        for sender, receiver in ((self._near, self._far), (self._far, self._near)):
            receiver.settimeout(LOST_S)
            sender.sendall(b"?")
            if receiver.recv(1) != b"?":
                raise OSError("it has ended")
        return time.monotonic() - began_s


def outlive(pair: Pair, fault: Fault, lasts_s: float, watch_s: float) -> list[str]:
    """The cells of a row."""
    bulk = [Bulk(*ends[:: 1 if up else -1]) for up in (True, True, False, False) for ends in [pair.sockets()]]
    idle = Idle(*pair.sockets())
    time.sleep(watch_s / 2)
    if fault.begin is not None:
        fault.begin(pair)
        time.sleep(lasts_s)
    ended_s = time.monotonic()
    fault.end(pair)
    time.sleep(1)
    try:
        answer = f"{idle.answer_s():.1f}"
    except OSError as failure:
        answer = str(failure)
    wait_for_all(bulk, ended_s)
    time.sleep(watch_s)
    whole = [each.finish() for each in bulk]
    for each in bulk:
        if each.failure:
            progress(f"a stream: {each.failure}")
    return [
        f"{sum(whole)} of {len(bulk)}",
        f"{sum(each.bytes for each in bulk) / 1e6:.0f}",
        f"{max(each.longest_pause() for each in bulk):.1f}",
        f"{max(each.longest_pause(ended_s) for each in bulk):.1f}",
        answer,
    ]


def wait_for_all(bulk: list[Bulk], since_s: float) -> None:
    """Until each has received something after that, or has failed."""
    deadline_s = time.monotonic() + LOST_S
    while time.monotonic() < deadline_s:
        if all(each.failure or each.arrived_s[-1] > since_s for each in bulk):
            return
        time.sleep(0.1)


def main() -> None:
    given = arguments(__doc__, asleep=60.0, watch=10.0, traffic="fast vpn", only="")
    faults = {name: fault for name, fault in PUBLIC.items() if re.search(given.only, name)}
    rows = []
    for traffic in given.traffic.split():
        with Lab() as lab:
            lab.bootstrap()
            pair = TRAFFIC[traffic](lab, *hosts(lab, "public hosts", 0))
            for name, fault in faults.items():
                wait_until(pair.is_direct, "direct connection", LOST_S, 0.5)
                name += f", {given.asleep:g} s" if fault.begin else ""
                rows.append([traffic, name, *outlive(pair, fault, given.asleep, given.watch)])
                progress(" ".join(rows[-1]))
    header = ["road", "fault", "whole", "MB", "pause, s", "after, s", "idle, s"]
    table("streams that outlive a fault", header, rows)


if __name__ == "__main__":
    main()
