"""The commands that use a user's network: which are there, and when the last one has gone.

In: process IDs. Out: a call. A command is one process; what it leaves running in the background does not keep
the network.
"""

import asyncio
import os
from collections.abc import Callable

from ..errors import ToxvpnError


class Holders:
    """Needs a running loop. `on_none` is called each time that none is left."""

    def __init__(self, on_none: Callable[[], None]) -> None:
        self._on_none = on_none
        self._loop = asyncio.get_running_loop()
        self._pidfds: set[int] = set()

    def __len__(self) -> int:
        return len(self._pidfds)

    def add(self, process: int) -> None:
        """Raises ToxvpnError: there is no such process."""
        try:
            pidfd = os.pidfd_open(process)
        except OSError as error:
            raise ToxvpnError(f"the command's process {process} is not there: {error.strerror}") from None
        self._pidfds.add(pidfd)
        self._loop.add_reader(pidfd, self._gone, pidfd)

    def close(self) -> None:
        for pidfd in list(self._pidfds):
            self._let_go(pidfd)

    def _gone(self, pidfd: int) -> None:
        self._let_go(pidfd)
        if not self._pidfds:
            self._on_none()

    def _let_go(self, pidfd: int) -> None:
        self._loop.remove_reader(pidfd)
        os.close(pidfd)
        self._pidfds.discard(pidfd)
