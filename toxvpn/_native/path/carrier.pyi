class Carrier:
    """Takes the datapath's packets to friends and hands theirs to it; compiled code only talks to it."""

class MemoryCarrier(Carrier):
    """Keeps what is sent, or passes it straight to another one. For tests."""

    sent: list[tuple[int, bytes]]
    flushes: int
    result: int
    """The SendResult of every send; what is not SENT goes nowhere."""
    is_congested: bool
    room: int
    """It is congested as soon as `sent` holds so many packets; -1: never for that reason."""

    def join(self, other: MemoryCarrier, our_number: int) -> None:
        """What is sent here arrives at `other` as from its friend `our_number`, and is not kept."""

    def deliver(self, friend_number: int, packet: bytes) -> None:
        """As if the friend had sent the packet (with its ID byte)."""

    def stop_clock(self, at_ns: int) -> None:
        """It is so many nanoseconds, above 0, for what waits for room."""

    def end_round(self) -> None:
        """As after a turn of Tox's: the datapath writes what it holds back and sends what is answered."""
