"""Our requests for tunnels until they are answered: which may be sent now, which have waited too long.

Neighbour: friend.py, which sends them and matches the answers. Source: docs/wire-format.md §1.

In v2 an answer carries the request's forward ID, so many requests can be under way. In v1 it carries
nothing: one request is under way per friend (the *slot*), the others wait. A v1 request that was given
up may still be answered, and that answer must not be taken for the next request's. So its slot is
free again only when the answer has come, or a PONG to a PING sent right after the request: a tuntox
server handles one frame after the other, so no answer can come after that.
"""

from dataclasses import dataclass

from .frames import Version

# A refusing tuntox server is silent; this is how long an answer may take (docs/wire-format.md §1).
REQUEST_TIMEOUT_S = 15.0
# How long a request may wait to be sent: one refused request before it in the slot, as long again in reserve.
WAITING_TIMEOUT_S = 30.0


@dataclass(slots=True, eq=False)
class TunnelRequest:
    handle: int
    host: bytes
    port: int
    deadline_s: float  # of its present state
    last_s: float  # of its life, however often the friend comes and goes
    barrier: int | None = None  # sequence number of the PING sent right after it (v1)
    abandoned: bool = False  # nobody waits for the answer any more (v1)

    @property
    def forward_id(self) -> int:
        return forward_id_of(self.handle)


def forward_id_of(handle: int) -> int:
    """The 32 bits by which a v2 answer names the request."""
    return handle & 0xFFFFFFFF


class TunnelRequests:
    """All requests of ours to one friend that have no answer yet."""

    def __init__(self) -> None:
        self._waiting: dict[int, TunnelRequest] = {}  # by handle, oldest first
        self._slot: TunnelRequest | None = None  # v1
        self._under_way: dict[int, TunnelRequest] = {}  # v2, by forward ID

    @property
    def waiting(self) -> bool:
        return bool(self._waiting)

    def add(self, handle: int, host: bytes, port: int, now: float) -> None:
        waits_until = now + WAITING_TIMEOUT_S
        self._waiting[handle] = TunnelRequest(
            handle, host, port, waits_until, waits_until + REQUEST_TIMEOUT_S
        )

    def next_to_send(self, version: Version, now: float) -> TunnelRequest | None:
        """The next request that may be sent; it counts as sent from here on."""
        if not self._waiting or (version is Version.V1 and self._slot is not None):
            return None
        request = self._waiting.pop(next(iter(self._waiting)))
        request.deadline_s = min(now + REQUEST_TIMEOUT_S, request.last_s)
        if version is Version.V1:
            self._slot = request
        else:
            self._under_way[request.forward_id] = request
        return request

    def answered(self, version: Version, forward_id: int | None) -> TunnelRequest | None:
        """The request that an answer belongs to (perhaps `abandoned`); None if there is none."""
        if version is Version.V2:
            return None if forward_id is None else self._under_way.pop(forward_id, None)
        request, self._slot = self._slot, None
        return request

    def barrier_passed(self, sequence: int) -> None:
        """The PONG to PING number `sequence` has come."""
        request = self._slot
        if request is None or request.barrier != sequence:
            return
        request.barrier = None
        if request.abandoned:
            self._slot = None

    def cancel(self, handle: int) -> bool:
        """Gives up a request; False if there is none with that handle."""
        if self._slot is not None and self._slot.handle == handle and not self._slot.abandoned:
            self._abandon_slot()
            return True
        if self._waiting.pop(handle, None) is not None:
            return True
        return self._under_way.pop(forward_id_of(handle), None) is not None

    def expire(self, now: float) -> list[tuple[TunnelRequest, bool]]:
        """Removes the requests that have waited too long; the flag is whether each had been sent."""
        sent = [request for request in self._under_way.values() if request.deadline_s <= now]
        for request in sent:
            del self._under_way[request.forward_id]
        slot = self._slot
        if slot is not None and not slot.abandoned and slot.deadline_s <= now:
            sent.append(slot)
            self._abandon_slot()
        unsent = [request for request in self._waiting.values() if request.deadline_s <= now]
        for request in unsent:
            del self._waiting[request.handle]
        return [(request, True) for request in sent] + [(request, False) for request in unsent]

    def next_deadline(self) -> float | None:
        requests = [*self._waiting.values(), *self._under_way.values()]
        if self._slot is not None and not self._slot.abandoned:
            requests.append(self._slot)
        return min((request.deadline_s for request in requests), default=None)

    def connection_lost(self) -> None:
        """Sent requests wait again, before the others and with the deadlines they had."""
        sent = [*self._under_way.values()]
        if self._slot is not None and not self._slot.abandoned:
            self._slot.barrier = None
            sent.insert(0, self._slot)
        self._slot = None
        self._under_way.clear()
        self._waiting = {request.handle: request for request in sent} | self._waiting

    def _abandon_slot(self) -> None:
        """The slot stays taken while an answer may still come."""
        assert self._slot is not None
        if self._slot.barrier is None:
            self._slot = None
        else:
            self._slot.abandoned = True
