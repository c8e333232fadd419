"""When the identity and the friend record are written: soon after a change, now and then, at the end."""

import asyncio
import logging
from pathlib import Path

from ..errors import ToxvpnError
from . import friends
from .friends import FriendBook
from .identity import Identity
from .node import Node

log = logging.getLogger("toxvpn.identity")

SOON_S = 1.0
"""Changes come in bursts: a client that joins changes friends, nodes and record at once."""
NOW_AND_THEN_S = 600.0
"""The nodes that toxcore learnt are worth keeping for the next start, but not much."""


class Keeper:
    """Saves for one node; `directory` None (a passing identity) saves nothing."""

    def __init__(self, node: Node, identity: Identity, book: FriendBook, directory: Path | None) -> None:
        self._node = node
        self._identity = identity
        self._book = book
        self._directory = directory
        self._loop = asyncio.get_running_loop()
        self._planned: asyncio.TimerHandle | None = None
        self._plan(NOW_AND_THEN_S)

    def changed(self) -> None:
        """Something worth keeping has changed."""
        self._plan(SOON_S)

    def close(self) -> None:
        """The last save, while the node still lives."""
        if self._planned is not None:
            self._planned.cancel()
        self._save()

    def _plan(self, delay_s: float) -> None:
        if self._planned is not None:
            self._planned.cancel()
        self._planned = self._loop.call_later(delay_s, self._save_and_go_on)

    def _save_and_go_on(self) -> None:
        self._save()
        self._plan(NOW_AND_THEN_S)

    def _save(self) -> None:
        if self._directory is None:
            return
        try:
            self._identity.save(self._node.tox.savedata())
            friends.save(self._directory, self._book)
        except ToxvpnError as failure:  # a full disk must not end the connections
            log.error("%s", failure)
