"""The `-R` of one command, and those of config.toml, which a reload replaces."""

import asyncio
import logging
from collections.abc import Callable, Mapping

from ...tox.peer import Peer
from ..builtin import Builtins
from ..caller import Caller
from ..choice import RoadChoice
from ..forwards import ForwardState
from .client import RemoteForwarding
from .spec import RemoteForward

log = logging.getLogger("toxvpn")

Wanted = tuple[str | None, RemoteForward]
"""The peer's name, if a person gave it one, and what it is asked for."""


class RemoteForwards:
    """`builtins` are those of the node; `choice` gives the road that a stream to a peer would take now.

    `tell` gets the lines about ports that peers have chosen.
    """

    def __init__(
        self,
        builtins: Builtins,
        choice: Callable[[Peer], RoadChoice],
        tell: Callable[[str], None] = log.info,
    ) -> None:
        self._builtins = builtins
        self._choice = choice
        self._tell = tell
        self._running: dict[Wanted, tuple[RemoteForwarding, asyncio.Task[None]]] = {}

    def start(self, wanted: Mapping[Wanted, Caller], *, keep_trying: bool) -> None:
        """Starts those that do not run yet. `keep_trying`: also when the peer's first answer is no."""
        for (name, forward), caller in wanted.items():
            if (name, forward) not in self._running:
                made = RemoteForwarding(caller, self._builtins, self._choice, forward, self._tell, name)
                task = asyncio.create_task(made.run(keep_trying=keep_trying))
                self._running[name, forward] = made, task

    def replace(self, wanted: Mapping[Wanted, Caller]) -> None:
        """Runs exactly those."""
        for each in self._running.keys() - wanted.keys():
            self._running.pop(each)[1].cancel()
        self.start(wanted, keep_trying=True)

    async def until_refused(self, stopping: asyncio.Event | None = None) -> None:
        """Returns when `stopping` is set, if ever. Raises ToxvpnError when a peer's first answer is no."""
        stopped = asyncio.create_task((stopping or asyncio.Event()).wait())
        try:
            tasks = [task for _, task in self._running.values()]
            done, _ = await asyncio.wait([*tasks, stopped], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            stopped.cancel()

    async def close(self) -> None:
        """Ends all; the peers listen no more."""
        tasks = [task for _, task in self._running.values()]
        self._running.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def states(self) -> list[ForwardState]:
        return [forwarding.state for forwarding, _ in self._running.values()]
