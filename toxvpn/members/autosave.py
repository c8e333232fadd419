"""When the identity and the friend record are written: soon after a change, now and then, at the end.

In a thread of its own, one save at a time: what is written is on the disk for good only after fsync, which an
SD card takes up to a second for, and the loop carries packets.
"""

import asyncio
import logging
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

from ..errors import ToxvpnError
from ..state.identity import Identity
from ..tox.node import Node
from . import friends
from .friends import FriendBook

log = logging.getLogger("toxvpn.identity")

SOON_S = 0.1
"""Changes come in bursts: a client that joins changes friends, nodes and record at once. A server that is
killed in between forgets it, and it has to ask again."""
NOW_AND_THEN_S = 600.0
"""The nodes that toxcore learnt are worth keeping for the next start, but not much."""


class Autosave:
    """Saves for one node; `directory` None (a passing identity) saves nothing. `writer` has one thread."""

    def __init__(
        self,
        node: Node,
        identity: Identity,
        book: FriendBook,
        directory: Path | None,
        writer: Executor | None = None,
    ) -> None:
        self._node = node
        self._identity = identity
        self._book = book
        self._directory = directory
        self._writer = writer or ThreadPoolExecutor(1, "save")
        self._written: Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._pressing = False
        self._planned = self._loop.call_later(NOW_AND_THEN_S, self._save_and_go_on)

    def changed(self) -> None:
        """Something worth keeping has changed."""
        if not self._pressing:  # further changes do not put it off
            self._pressing = True
            self._plan(SOON_S)

    def close(self) -> None:
        """The last save, while the node still lives; returns when it is written."""
        self._planned.cancel()
        self._save()
        self._writer.shutdown()

    def _plan(self, delay_s: float) -> None:
        self._planned.cancel()
        self._planned = self._loop.call_later(delay_s, self._save_and_go_on)

    def _save_and_go_on(self) -> None:
        if self._written is not None and not self._written.done():  # a slow disk
            self._plan(SOON_S)
            return
        self._pressing = False
        self._save()
        self._plan(NOW_AND_THEN_S)

    def _save(self) -> None:
        if self._directory is None:
            return
        try:
            self._note_who_is_here()
            record = friends.Snapshot(self._book)
            self._written = self._writer.submit(
                partial(self._write, self._directory, self._node.tox.savedata(), record)
            )
        except Exception:  # nothing may end the saving
            log.exception("identity and friends could not be saved")

    def _note_who_is_here(self) -> None:
        """Who is online for weeks has been seen lately; to the day, so that the record is not always new."""
        now = time.time()
        for peer in self._node:
            friend = self._book.friends.get(peer.public_key)
            if friend is not None and peer.online and now - friend.last_online > friends.DAY_S:
                self._book.seen(peer.public_key, now)

    def _write(self, directory: Path, savedata: bytes, record: friends.Snapshot) -> None:
        """In the thread."""
        try:
            self._identity.save(savedata)
            record.save(directory)
        except ToxvpnError as failure:  # a full disk must not end the connections
            log.error("%s", failure)
        except Exception:  # nor anything else the saving
            log.exception("identity and friends could not be saved")
