"""The node's log, told to the commands it works for: it has no terminal of its own.

What a session's own tasks say goes to its command alone, all else to every command, and everything to the
node's own log (log.py), commands or none.
"""

import asyncio
import logging
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Protocol

from .messages import Message

QUIET = logging.CRITICAL + 1


class Listening(Protocol):
    """A session, as far as the log is concerned. `level` is the least that its command shows."""

    level: int

    def mention(self, message: Message) -> None:
        """May be lost when the command does not listen: it must not hold up the others."""


SPEAKER: ContextVar[Listening | None] = ContextVar("SPEAKER", default=None)


class Retelling(logging.Handler):
    """Takes over the logger `toxvpn` of this process, and its level; `kept` is the node's own log."""

    def __init__(self, kept: logging.Handler | None = None) -> None:
        super().__init__()
        self._sessions: set[Listening] = set()
        self._least = QUIET if kept is None else kept.level
        self._logger = logging.getLogger("toxvpn")
        self._logger.handlers[:] = [self] if kept is None else [self, kept]
        self._logger.propagate = False
        self._level()

    def add(self, session: Listening) -> None:
        self._sessions.add(session)
        self._level()

    def discard(self, session: Listening) -> None:
        self._sessions.discard(session)
        self._level()

    def emit(self, record: logging.LogRecord) -> None:
        message = {"log": record.levelno, "name": record.name, "text": self.format(record)}
        for session in self._audience():
            if record.levelno >= session.level:
                session.mention(message)

    def _audience(self) -> Iterable[Listening]:
        speaker = SPEAKER.get() if _in_a_task() else None  # callbacks may have anybody's context
        return [speaker] if speaker is not None and speaker in self._sessions else list(self._sessions)

    def _level(self) -> None:
        self._logger.setLevel(min([self._least, *(session.level for session in self._sessions)]))


def _in_a_task() -> bool:
    try:
        return asyncio.current_task() is not None
    except RuntimeError:  # no loop runs
        return False
