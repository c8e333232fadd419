"""A peer: one of our friends in the Tox network."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from .._native.results import Connection
from ..wire.ip import CUSTOM_PACKET_BYTES
from ..wire.ratelimit import RateLimit
from ..wire.toxid import short_key
from .loglimit import LogLimit

RARE_PER_S, RARE_AT_ONCE = 100, 200


@dataclass(slots=True, eq=False, weakref_slot=True)
class Peer:
    """The state of a friend. `number` is toxcore's friend number, which it may reuse after a removal."""

    number: int
    public_key: bytes
    connection: Connection = Connection.NONE
    status_text: bytes | None = None
    """The status message of this connection; None until it has arrived."""
    changed_s: float = 0.0
    """Time of the last change of the connection, on the loop's clock."""
    packet_bytes: int = CUSTOM_PACKET_BYTES
    """The largest custom packet that the path carries, as far as is known (mtuprober.py)."""
    source: tuple[str, int] | None = None
    """The address and port that its last packet came from, but for those of packet paths; None: a relay."""
    via: bytes | None = None
    """The key of the friend by way of which it is reached (detours.py)."""
    places: dict[bool, tuple[str, int]] = field(default_factory=dict)
    """Where it was last seen: for IPv4 (False) and IPv6 (True)."""
    sent_packets: int = 0
    received_packets: int = 0
    """Those of Python; a datapath counts its own (Node.traffic)."""
    rare_packets: RateLimit = field(default_factory=lambda: RateLimit(RARE_PER_S, RARE_AT_ONCE), repr=False)
    """How many lossy packets of it Python handles; those of packet paths have no limit."""
    flooded_packets: int = 0
    """Those beyond the limit, which were dropped."""
    log_limit: LogLimit = field(default_factory=LogLimit, repr=False)
    name_of: Callable[[bytes], str | None] = field(default=lambda _: None, repr=False)
    """The name that a person here has given to that public key."""

    @property
    def online(self) -> bool:
        return self.connection is not Connection.NONE

    @property
    def drops(self) -> dict[str, int]:
        """Packets that were dropped before anybody saw them, by reason."""
        return {"flood": self.flooded_packets} if self.flooded_packets else {}

    @property
    def path(self) -> Literal["none", "tcp-relay", "udp", "friend"]:
        """The name in status and metrics."""
        by_friend = self.via is not None and self.connection is Connection.UDP
        return "friend" if by_friend else self.connection.path

    @property
    def short(self) -> str:
        """The first 8 digits of the public key."""
        return short_key(self.public_key)

    @property
    def named(self) -> str:
        """How logs name it: `laptop (01234567)`, or without a name by its digits."""
        name = self.name_of(self.public_key)
        return self.short if name is None else f"{name} ({self.short})"

    def log(self, log: logging.Logger, level: int, text: str, *arguments: object) -> None:
        """Logs a line about this peer, within its limit."""
        self.log_limit.log(log, level, f"peer {self.named}: {text}", *arguments)
