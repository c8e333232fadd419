"""Saves the identity and the friend record: soon after a change, every ten minutes, and at the end.

Writes in a thread of its own, one save at a time: a save ends with fsync, which takes an SD card up to a
second, and the event loop carries packets.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Protocol

from ..errors import ToxvpnError
from ..state.identity import Identity
from ..tox.node import Node
from . import friends
from .friends import FriendBook

log = logging.getLogger("toxvpn.identity")

SOON_S = 0.1
"""Changes come in bursts: a client that joins changes friends, nodes and record at once. A server that is
killed in between forgets that client, which then has to ask again."""
PERIOD_S = 600.0
"""The interval of saves for the nodes that toxcore has learnt, which only make the next start faster."""


class Record(Protocol):
    """Something to write, which does not change any more."""

    def save(self, directory: Path) -> None: ...


class Autosave:
    """Saves for one node; nothing when `directory` is None (ephemeral identity). `writer` has one thread."""

    def __init__(
        self,
        node: Node,
        identity: Identity,
        book: FriendBook,
        directory: Path | None,
        writer: Executor | None = None,
    ) -> None:
        self.others: list[Callable[[], Record]] = []
        """Each gives another record beside the identity, as it is now."""
        self._node = node
        self._identity = identity
        self._book = book
        self._directory = directory
        self._writer = writer or ThreadPoolExecutor(1, "save")
        self._written: Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._due_soon = False
        self._planned = self._loop.call_later(PERIOD_S, self._save_and_plan)

    def changed(self) -> None:
        """Plans a save. Call it when something has changed that must be saved."""
        if not self._due_soon:  # further changes do not postpone it
            self._due_soon = True
            self._plan(SOON_S)

    def close(self) -> None:
        """Saves for the last time, before the node is closed; returns when all is written."""
        self._planned.cancel()
        self._save()
        self._writer.shutdown()

    def _plan(self, delay_s: float) -> None:
        self._planned.cancel()
        self._planned = self._loop.call_later(delay_s, self._save_and_plan)

    def _save_and_plan(self) -> None:
        if self._written is not None and not self._written.done():  # a slow disk
            self._plan(SOON_S)
            return
        self._due_soon = False
        self._save()
        self._plan(PERIOD_S)

    def _save(self) -> None:
        if self._directory is None:
            return
        try:
            self._note_online_friends()
            records = [friends.Snapshot(self._book), *(record() for record in self.others)]
            self._written = self._writer.submit(
                partial(self._write, self._directory, self._node.tox.savedata(), records)
            )
        except Exception:  # saving must go on
            log.exception("identity and friends could not be saved")

    def _note_online_friends(self) -> None:
        """Updates `last_online`, only to the day, so that the record does not change with every save."""
        now = time.time()
        for peer in self._node:
            friend = self._book.friends.get(peer.public_key)
            if friend is not None and peer.online and now - friend.last_online > friends.DAY_S:
                self._book.seen(peer.public_key, now)

    def _write(self, directory: Path, savedata: bytes, records: Iterable[Record]) -> None:
        """Runs in the thread."""
        try:
            self._identity.save(savedata)
            for record in records:
                record.save(directory)
        except ToxvpnError as failure:  # a full disk must not end connections
            log.error("%s", failure)
        except Exception:  # saving must go on
            log.exception("identity and friends could not be saved")
