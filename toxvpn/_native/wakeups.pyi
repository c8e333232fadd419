import selectors
from typing import Protocol, type_check_only

from typing_extensions import disjoint_base

@type_check_only
class Turns(Protocol):
    """What `Arrivals` needs of a Tox handle."""

    def iterate(self) -> None: ...
    @property
    def quiet(self) -> bool: ...

@disjoint_base
class Early:
    """What a selector can serve itself; compiled code only talks to it."""

class Selector(selectors.EpollSelector):
    """Serves some descriptors itself."""

    def serve_early(self, fd: int, early: Early | None) -> None:
        """When `fd` is registered and readable, `early` is served inside `select`; None ends that.

        `select` tells of it only when that did not do, and as always of whatever else is the matter.
        """

@disjoint_base
class Arrivals(Early):
    """Toxcore's sockets as one descriptor; served, it is a turn of toxcore's.

    `tox.quiet` says after it whether there is nothing to do for anybody else.
    """

    def __init__(self, tox: Turns) -> None: ...
    def add(self, fd: int) -> None:
        """Wakes on arrivals (EPOLLET), not for as long as something is there. Raises OSError."""

    def fileno(self) -> int: ...
    def close(self) -> None: ...
    def turn(self) -> None:
        """For the event loop, once it has heard: a turn, if there was none. Raises as `tox.iterate`."""
