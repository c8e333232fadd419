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

SOON_S = 0.1
"""Changes come in bursts: a client that joins changes friends, nodes and record at once. A server that is
killed in between forgets it, and it has to ask again."""
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
        self._pressing = False
        self._planned = self._loop.call_later(NOW_AND_THEN_S, self._save_and_go_on)

    def changed(self) -> None:
        """Something worth keeping has changed."""
        if not self._pressing:  # further changes do not put it off
            self._pressing = True
            self._plan(SOON_S)

    def close(self) -> None:
        """The last save, while the node still lives."""
        self._planned.cancel()
        self._save()

    def _plan(self, delay_s: float) -> None:
        self._planned.cancel()
        self._planned = self._loop.call_later(delay_s, self._save_and_go_on)

    def _save_and_go_on(self) -> None:
        self._pressing = False
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
        except Exception:  # nor anything else the saving
            log.exception("identity and friends could not be saved")
