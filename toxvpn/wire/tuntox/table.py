"""The open tunnels of one friend: found by handle and by ID, with what is true of them together.

Neighbours: tunnel.py (one of them), open_tunnels.py (which decides).
"""

from collections.abc import Iterator

from . import frames
from .tunnel import Tunnel


class TunnelTable:
    """`gives_even_ids`: both sides give tunnel IDs, one the even ones and the other the odd ones."""

    def __init__(self, *, gives_even_ids: bool) -> None:
        self.unconsumed_bytes = 0  # of all tunnels together
        self.extra_bytes = 0  # the same, as of each one's last `recount`
        self._first_id = self._next_id = 2 if gives_even_ids else 1
        self._by_handle: dict[int, Tunnel] = {}
        self._by_id: dict[int, Tunnel] = {}
        self._lingering: dict[int, Tunnel] = {}  # those with an idle deadline, by handle

    def __iter__(self) -> Iterator[Tunnel]:
        """A snapshot: tunnels may come and go meanwhile."""
        return iter(list(self._by_handle.values()))

    def by_handle(self, handle: int) -> Tunnel | None:
        return self._by_handle.get(handle)

    def by_id(self, tunnel_id: int) -> Tunnel | None:
        return self._by_id.get(tunnel_id)

    def inbound(self) -> int:
        """The number of tunnels that the peer has opened."""
        return sum(tunnel.inbound for tunnel in self._by_handle.values())

    def fullest(self) -> Tunnel:
        """The one whose local side has most to pass on."""
        return max(self._by_handle.values(), key=lambda tunnel: tunnel.unconsumed_bytes)

    def new_id(self) -> int:
        """The next of our half of the IDs that is not in use; 0 is never given.

        In turn: an ID used again at once could be hit by a late TCP_FIN for its predecessor.
        """
        while True:
            tunnel_id = self._next_id
            self._next_id += 2
            if self._next_id > frames.MAX_TUNNEL_ID:
                self._next_id = self._first_id
            if tunnel_id not in self._by_id:
                return tunnel_id

    def add(self, tunnel: Tunnel) -> None:
        self._by_handle[tunnel.handle] = tunnel
        self._by_id[tunnel.tunnel_id] = tunnel

    def remove(self, tunnel: Tunnel) -> None:
        tunnel.closed = True
        del self._by_handle[tunnel.handle]
        del self._by_id[tunnel.tunnel_id]
        self._lingering.pop(tunnel.handle, None)
        self.unconsumed_bytes -= tunnel.unconsumed_bytes
        self.extra_bytes -= tunnel.counted_extra_bytes

    def recount(self, tunnel: Tunnel) -> None:
        """Updates the sum, as the tunnel's extra bytes may have changed."""
        self.extra_bytes += tunnel.extra_bytes - tunnel.counted_extra_bytes
        tunnel.counted_extra_bytes = tunnel.extra_bytes

    def linger(self, tunnel: Tunnel, until_s: float) -> None:
        """Gives the tunnel an idle deadline, or another one."""
        tunnel.idle_deadline_s = until_s
        self._lingering[tunnel.handle] = tunnel

    def stay(self, tunnel: Tunnel) -> None:
        """Takes the idle deadline away, if there is one."""
        tunnel.idle_deadline_s = None
        self._lingering.pop(tunnel.handle, None)

    def next_deadline(self) -> float | None:
        return min((_deadline(tunnel) for tunnel in self._lingering.values()), default=None)

    def idle(self, now: float) -> list[Tunnel]:
        """The tunnels whose idle deadline has passed."""
        return [tunnel for tunnel in self._lingering.values() if _deadline(tunnel) <= now]


def _deadline(tunnel: Tunnel) -> float:
    return float("inf") if tunnel.idle_deadline_s is None else tunnel.idle_deadline_s
