"""A stream that ticks: each of its ends sends a number every 50 ms, and notes when the other's come.

It tells how long a stream stands still after a fault (faults.py), whether it ends, and whether bytes get
lost.
"""

import contextlib
import select
import struct
import threading
import time
from socket import socket as Socket  # noqa: N812

from .errors import LabError
from .waiting import wait_until

TICK_S = 0.05
TICK = struct.Struct("!Id")  # its number, and time.monotonic() when it was sent


class End:
    """One end: what has come, and what is still to be sent of the newest tick."""

    def __init__(self, sock: Socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.arrivals: list[tuple[float, float]] = []
        """When each tick was sent, and when it came."""
        self._sent = 0
        self._unsent = b""
        self._partial = b""

    def send(self, now: float) -> None:
        """Sends the next tick, unless the last one still waits for room."""
        if not self._unsent:
            self._unsent = TICK.pack(self._sent, now)
            self._sent += 1
        with contextlib.suppress(BlockingIOError):
            self._unsent = self._unsent[self.sock.send(self._unsent) :]

    def receive(self) -> None:
        """Raises LabError at the end of the stream, and when a tick is missing."""
        if not (data := self.sock.recv(1 << 16)):
            raise LabError("the stream has ended")
        now = time.monotonic()
        data = self._partial + data
        whole = len(data) // TICK.size * TICK.size
        self._partial = data[whole:]
        for number, sent_s in TICK.iter_unpack(data[:whole]):
            if number != len(self.arrivals):
                raise LabError(f"tick {len(self.arrivals)} is missing: {number} came")
            self.arrivals.append((sent_s, now))


class TickingStream:
    """Ticks from construction until `close`, which closes both sockets."""

    def __init__(self, near: Socket, far: Socket) -> None:
        self.failure = ""
        """Why it ticks no more."""
        self._ends = [End(near), End(far)]
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ticks", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._thread.join()
        for end in self._ends:
            end.sock.close()

    def next_tick(self, since_s: float, timeout_s: float) -> float:
        """Waits until both ends have received a tick sent after `since_s` (time.monotonic).

        Returns how many seconds later the second of the two came. Raises LabError when the stream ends, or
        after `timeout_s`.
        """

        def condition() -> list[float]:
            if self.failure:
                raise LabError(self.failure)
            came = [self._first(end, since_s) for end in self._ends]
            return [came_s for came_s in came if came_s is not None] if None not in came else []

        return max(wait_until(condition, "tick both ways", timeout_s)) - since_s

    def longest_pause(self, since_s: float) -> float:
        """The most seconds that any tick sent after `since_s` took, or has been under way until now."""
        now = time.monotonic()
        pauses = [0.0]
        for end in self._ends:
            pauses += [came_s - sent_s for sent_s, came_s in list(end.arrivals) if sent_s > since_s]
            pauses.append(now - max(end.arrivals[-1][1] if end.arrivals else since_s, since_s))
        return max(pauses)

    @staticmethod
    def _first(end: End, since_s: float) -> float | None:
        return next((came_s for sent_s, came_s in list(end.arrivals) if sent_s > since_s), None)

    def _run(self) -> None:
        by_fd = {end.sock.fileno(): end for end in self._ends}
        poll = select.poll()
        for fd in by_fd:
            poll.register(fd, select.POLLIN)
        due_s = time.monotonic()
        try:
            while not self._closing.is_set():
                if (now := time.monotonic()) >= due_s:
                    due_s = now + TICK_S
                    for end in self._ends:
                        end.send(now)
                for fd, _ in poll.poll(max(0.0, due_s - now) * 1000):
                    by_fd[fd].receive()
        except (LabError, OSError) as failure:
            self.failure = str(failure)
