"""When to send a PING because the last packet may be lost.

toxcore repeats a lost packet once the receiver asks for it, and the receiver misses nothing until a later
packet has come. So where an answer is waited for, the loss of a request or of its answer costs up to two
seconds. A PING is such a later packet, and so is its PONG, which every tuntox program sends (decision 26).
Sans-IO: `now` in seconds comes with each call. Neighbour: tcpforward/tuntox/driver.py.
"""

from collections import deque

WAITS_S = (0.05, 0.05, 0.1, 0.1, 0.2)
"""toxcore counts what it receives in spans of 50 ms, and asks soon only in one in which something came."""
ANSWERS = 8
LONGEST_S = 1.0


class Tail:
    """Of the packets to one peer and from it. `next_s` is when `due` will be true; None: never."""

    def __init__(self) -> None:
        self.next_s: float | None = None
        self._sent_s: float | None = None
        """When the first packet was sent that has not been answered by any."""
        self._asked = 0
        self._answers_s: deque[float] = deque([WAITS_S[0] / 2], ANSWERS)
        """How long the latest answers took; the least of them is not that to a lost packet."""

    def sent(self, now: float) -> None:
        """A packet of ours other than a PING of this."""
        if self._sent_s is None:
            self._sent_s = now
        if self._asked == 0:
            self._wait(now)

    def received(self, now: float) -> None:
        if self._sent_s is not None:
            self._answers_s.append(now - self._sent_s)
        self.forget()

    def forget(self) -> None:
        """There is nothing to wait for, or nobody."""
        self.next_s = self._sent_s = None
        self._asked = 0

    def due(self, now: float) -> bool:
        """Whether to send a PING now; if so, the next time is set."""
        if self.next_s is None or now < self.next_s:
            return False
        self._asked += 1
        self._wait(now)
        return True

    def _wait(self, now: float) -> None:
        if self._asked == len(WAITS_S):
            self.next_s = None
            return
        usual_s = min(2 * min(self._answers_s), LONGEST_S)
        self.next_s = now + max(WAITS_S[self._asked], usual_s)
