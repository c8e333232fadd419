from typing_extensions import disjoint_base

from .._native.path.carrier import Carrier

@disjoint_base
class MemoryCarrier(Carrier):
    """Keeps what is sent, or passes it straight to another one."""

    sent: list[tuple[int, bytes]]
    flushes: int
    result: int
    """The SendResult of every send; a packet whose result is not SENT goes nowhere."""
    is_congested: bool
    room: int
    """The carrier is congested once `sent` holds this many packets; -1: never for that reason."""

    def join(self, other: MemoryCarrier, our_number: int) -> None:
        """Deliver what is sent here to `other`, as from its friend `our_number`, instead of keeping it."""

    def deliver(self, friend_number: int, packet: bytes) -> None:
        """Act as if the friend had sent the packet (with its ID byte)."""

    def stop_clock(self, at_ns: int) -> None:
        """Set the time of the packets that wait for room to this many nanoseconds, above 0."""

    def flush_inbound(self) -> None:
        """End a batch of deliveries, as a Tox handle does after a turn.

        Datapaths write what they hold back, send what the kernel answers, and what waited for room.
        """
