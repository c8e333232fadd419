from toxvpn._native.toxcore import Tox

class Blaster:
    """One per handle; takes the lossy packets of one ID."""

    def __init__(self, tox: Tox) -> None: ...
    def blast(self, friend: int, size: int, seconds: float, udp_fd: int) -> int:
        """Sends packets of `size` bytes (1 to 1373) as fast as they go; how many toxcore took."""

    def spray(self, friend: int, packets: list[bytes], seconds: float, udp_fd: int) -> int:
        """As `blast`, with these packets by turns; each of 1 to 1373 bytes."""

    def take(self) -> tuple[int, float]:
        """Packets received since the last call, and the seconds from the first to the last of them."""
