"""The streams' share of the descriptors that the process may have (ulimit -n).

The rest is the node's own: sockets, files, the control socket, threads that look names up. A stream for
which there is no descriptor left is refused at once instead of waiting.
"""

import resource
from collections.abc import Callable

STREAM_DESCRIPTORS = 2
"""Descriptors of a relayed stream: one at each end."""
SHARE_OF_STREAMS = 0.75
SCARCE = 1 / 8
"""Of that share: when less is free, absent peers make room."""
TOO_FEW_DESCRIPTORS = "too many streams for the descriptors that this process may have (ulimit -n)"


class DescriptorBudget:
    """Counts the descriptors that streams have taken. `when_scarce` are called while few are free."""

    def __init__(self) -> None:
        self.taken = 0
        self.when_scarce: list[Callable[[], None]] = []

    @property
    def share(self) -> int:
        """Descriptors that streams may take, in all."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return int(soft * SHARE_OF_STREAMS)

    @property
    def free(self) -> int:
        """Descriptors that streams may still take; below 0 when the limit has been lowered meanwhile."""
        return self.share - self.taken

    def allows_more(self, held: int) -> bool:
        """Whether a peer that holds `held` descriptors may take more: never more than are left for others."""
        return held < self.free

    def take(self, descriptors: int) -> bool:
        """Takes that many if they are free; returns whether it did."""
        if self.free - descriptors < self.share * SCARCE:
            for make_room in self.when_scarce:
                make_room()
        if descriptors > self.free:
            return False
        self.taken += descriptors
        return True

    def add(self, descriptors: int) -> None:
        """Counts those that come with others that were free: what is asked for later has less."""
        self.taken += descriptors

    def give(self, descriptors: int) -> None:
        """Gives descriptors back that were taken, or added."""
        self.taken -= descriptors


DESCRIPTORS = DescriptorBudget()
"""The budget of this process, to which the limit belongs."""
