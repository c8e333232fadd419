"""How many descriptors streams have, of those that the process may have (ulimit -n).

The rest is the node's own: sockets, files, the control socket, threads that look names up. A stream for
which there is no room is refused at once: one that waits for a descriptor does not know what it waits for.
"""

import resource

STREAM = 2
"""Descriptors of a stream that is relayed: one at each end."""
SHARE_OF_STREAMS = 0.75
NO_ROOM = "too many streams for the descriptors that this process may have (ulimit -n)"


class Room:
    def __init__(self) -> None:
        self.taken = 0

    @property
    def free(self) -> int:
        """Descriptors; below 0 when the limit has been lowered meanwhile."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return int(soft * SHARE_OF_STREAMS) - self.taken

    def has_share(self, held: int) -> bool:
        """Whether a peer that holds so many may have more: up to what is free, so that others find some."""
        return held < self.free

    def take(self, descriptors: int) -> bool:
        """Whether so many may be had; then they are."""
        if descriptors > self.free:
            return False
        self.taken += descriptors
        return True

    def give(self, descriptors: int) -> None:
        self.taken -= descriptors


ROOM = Room()
"""Of this process, to which the limit belongs."""
