"""A wire with a delay: carries Ethernet frames between two TAP devices, run as a process of its own.

Its command line has the descriptors of the two TAPs, and how the wire behaves. It prints one byte on stdout
once it carries frames. It ends when a TAP goes away. One frame is one packet (no offload is asked for), so
loss rules and counters on the TAPs see real packets.

Bounds, measured with iperf3 on 2 cores: 1.4 Gbit/s of TCP at 5 ms each way, 100 Mbit/s of UDP without a loss
at 5 and 50 ms. Bursts beyond the 1000 frames that a TAP queues are lost, as at any router. The round trip is
the delay twice and up to 0.5 ms more; with a core fully loaded, some ms more.
"""

import argparse
import heapq
import os
import random
import select
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

BATCH = 64  # frames read from one side before the other gets its turn
FRAME_BYTES = 16384  # more than any MTU in use


@dataclass(frozen=True, slots=True)
class Delay:
    """The delays and disorder of a wire, the same in both directions."""

    delay_ms: float
    jitter_ms: float = 0.0  # uniform, either way; frames stay in order
    reorder_percent: float = 0.0  # so many frames skip the delay and overtake the others
    duplicate_percent: float = 0.0

    def arguments(self) -> list[str]:
        return [f"--{name}={value}" for name, value in asdict(self).items()]


class DelayQueue:
    """Frames under way in one direction. `now` is any clock in seconds."""

    def __init__(self, delay: Delay, chance: random.Random) -> None:
        self._delay = delay
        self._chance = chance
        self._frames: list[tuple[float, int, bytes]] = []
        self._pushed = 0
        self._last_due = 0.0

    def push(self, frame: bytes, now: float) -> None:
        delay = self._delay
        due = now
        if not self._happens(delay.reorder_percent):
            jitter_ms = self._chance.uniform(-delay.jitter_ms, delay.jitter_ms) if delay.jitter_ms else 0.0
            due = self._last_due = max(self._last_due, now + (delay.delay_ms + jitter_ms) / 1000)
        for _ in range(2 if self._happens(delay.duplicate_percent) else 1):
            self._pushed += 1
            heapq.heappush(self._frames, (due, self._pushed, frame))

    def pop(self, now: float) -> Iterator[bytes]:
        """The frames that have arrived by `now`, in the order of their arrival."""
        while self._frames and self._frames[0][0] <= now:
            yield heapq.heappop(self._frames)[2]

    def next_due(self) -> float:
        """The time when the next frame arrives; infinity if no frame is under way."""
        return self._frames[0][0] if self._frames else float("inf")

    def _happens(self, percent: float) -> bool:
        return percent > 0 and self._chance.random() * 100 < percent


def carry(taps: tuple[int, int], delay: Delay) -> None:
    """Move frames both ways until a TAP goes away (OSError)."""
    queues = {tap: DelayQueue(delay, random.Random()) for tap in taps}
    opposite = dict(zip(taps, reversed(taps), strict=True))
    while True:
        due = min(queue.next_due() for queue in queues.values())
        timeout = None if due == float("inf") else max(0.0, due - time.monotonic())
        for tap in select.select(taps, (), (), timeout)[0]:
            _read(tap, queues[tap])
        for tap, queue in queues.items():
            for frame in queue.pop(time.monotonic()):
                _write(opposite[tap], frame)


def _read(tap: int, queue: DelayQueue) -> None:
    for _ in range(BATCH):
        try:
            frame = os.read(tap, FRAME_BYTES)
        except BlockingIOError:
            return
        queue.push(frame, time.monotonic())


def _write(tap: int, frame: bytes) -> None:
    try:
        os.write(tap, frame)
    except OSError:  # the interface is down, so the frame is lost
        return


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("taps", type=int, nargs=2)
    for name in Delay.__dataclass_fields__:
        parser.add_argument(f"--{name}", type=float)
    arguments = vars(parser.parse_args())
    taps = tuple(arguments.pop("taps"))
    for tap in taps:
        os.set_blocking(tap, False)
    os.write(1, b"\n")
    carry(taps, Delay(**arguments))


if __name__ == "__main__":
    main()
