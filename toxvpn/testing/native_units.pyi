from collections.abc import Collection, Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Self

from typing_extensions import disjoint_base

from .._native.path.packets import FilterRule

def checksum(data: bytes | memoryview) -> int:
    """checksum.h: the Internet checksum's sum of the bytes, in the machine's byte order, not inverted."""

def copy_checksum(out: memoryview, data: bytes | memoryview) -> int:
    """The same, while it copies them to `out`."""

def has_vectors() -> bool:
    """Whether this processor has the vectors of checksum.c."""

@disjoint_base
class PrefixTable:
    """prefixes.c: the compiled twin of `wire.routes.PrefixTable`, which documents it."""

    def __len__(self) -> int: ...
    def set(self, network: IPv4Network | IPv6Network, value: int, scope: int = 0) -> None: ...
    def remove(self, network: IPv4Network | IPv6Network, scope: int = 0) -> bool: ...
    def get(self, network: IPv4Network | IPv6Network, scope: int = 0) -> int | None: ...
    def lookup(self, address: IPv4Address | IPv6Address, scope: int = 0) -> int | None: ...

@disjoint_base
class Filter:
    """policy.c: the compiled twin of `wire.policy.Filter`, which documents it."""

    def __init__(
        self, here: Collection[IPv4Address | IPv6Address], rules: Iterable[FilterRule] = ()
    ) -> None: ...
    def set_rules(self, rules: Iterable[FilterRule]) -> None: ...
    def judge(self, destination: IPv4Address | IPv6Address, protocol: int, port: int = 0) -> int | None: ...
    def inbound(self, packet: bytes, now_s: int) -> bool: ...
    def outbound(self, packet: bytes, now_s: int) -> None: ...

@disjoint_base
class FlowQueue:
    """flowqueue.c, called as backlog.c calls it. Times are nanoseconds."""

    def put(self, flow: int, item: int, size: int, now_ns: int, *, held: int = 1) -> None:
        """`flow` is a hash; the item, known by its number, has `size` bytes and takes up `held`."""

    def next(self, now_ns: int) -> tuple[int, bool] | None:
        """The item of which a piece is to go, and whether it is late; `took` or `dropped` must follow."""

    def took(self, size: int) -> None:
        """So many bytes of it were sent."""

    def dropped(self, size: int) -> None: ...
    def shed(self) -> int | None:
        """Takes out the oldest item of the flow that holds most."""

    def remove(self, item: int) -> bool:
        """Takes out every item of that number; whether there was one."""

    @property
    def held(self) -> int: ...

@disjoint_base
class SendRoom:
    """sendroom.c. Sizes are bytes, times nanoseconds."""

    def __new__(cls, ceiling: int) -> Self: ...
    def before(self, standing: int, now_ns: int) -> None:
        """So much is in the kernel; it is about to be asked."""

    def refused(self, standing: int, now_ns: int) -> None: ...
    def sent(self, size: int, standing: int, now_ns: int) -> None:
        """It took `size` bytes and now has `standing`."""

    @property
    def limit(self) -> int: ...
    @property
    def piece(self) -> int: ...
