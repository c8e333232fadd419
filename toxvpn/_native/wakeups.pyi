import selectors
from typing import Protocol, type_check_only

from typing_extensions import disjoint_base

@type_check_only
class Turns(Protocol):
    """The part of a Tox handle that `Arrivals` needs."""

    def iterate(self) -> None: ...
    @property
    def quiet(self) -> bool: ...

@disjoint_base
class Early:
    """Something that a selector can serve itself; only compiled code talks to it."""

class Selector(selectors.EpollSelector):
    """An epoll selector that serves some descriptors itself."""

    def serve_early(self, fd: int, early: Early | None) -> None:
        """Serve `early` inside `select` whenever `fd` is registered and readable; None ends that.

        `select` then reports the descriptor only when serving it was not enough, and other events as always.
        """

@disjoint_base
class Arrivals(Early):
    """Toxcore's sockets as one descriptor; to serve it is to take a turn of toxcore.

    After the turn, `tox.quiet` says whether the event loop need not be told.
    """

    def __init__(self, tox: Turns) -> None: ...
    def add(self, fd: int, stream: bool = False) -> None:
        """Add a socket. It wakes once per arrival (EPOLLET), not while anything is unread. Raises OSError.

        A `stream` also wakes when it is connected, and when it has room again that it had not.
        """

    def fileno(self) -> int: ...
    def close(self) -> None: ...
    def turn(self) -> None:
        """Take a turn, unless the selector has; called by the event loop. Raises as `tox.iterate`."""
