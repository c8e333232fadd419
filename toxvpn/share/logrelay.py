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


class ToSessions(logging.Handler):
    """Tells each record to the sessions that it is for."""

    def __init__(self) -> None:
        super().__init__()
        self._sessions: set[Listening] = set()
        self._logger = logging.getLogger("toxvpn")

    def add(self, session: Listening) -> None:
        self._sessions.add(session)

    def discard(self, session: Listening) -> None:
        self._sessions.discard(session)

    def emit(self, record: logging.LogRecord) -> None:
        message = {"log": record.levelno, "name": record.name, "text": self.format(record)}
        speaker = SPEAKER.get() if _in_a_task() else None  # callbacks may have anybody's context
        for session in [speaker] if speaker in self._sessions else self._everybody():
            if record.levelno >= session.level:
                session.mention(message)

    def _everybody(self) -> Iterable[Listening]:
        """Who hears what no session's own task says."""
        return list(self._sessions)


class Retelling(ToSessions):
    """Takes over the logger `toxvpn` of this process, and its level; `kept` is the node's own log."""

    def __init__(self, kept: logging.Handler | None = None) -> None:
        super().__init__()
        self._least = QUIET if kept is None else kept.level
        self._logger.handlers[:] = [self] if kept is None else [self, kept]
        self._logger.propagate = False
        self._level()

    def add(self, session: Listening) -> None:
        super().add(session)
        self._level()

    def discard(self, session: Listening) -> None:
        super().discard(session)
        self._level()

    def _level(self) -> None:
        self._logger.setLevel(min([self._least, *(session.level for session in self._sessions)]))


class Aside(ToSessions):
    """Beside a log of the process's own, whose level it leaves alone: a session hears its own tasks."""

    def __init__(self) -> None:
        super().__init__()
        self._logger.addHandler(self)

    def close(self) -> None:
        self._logger.removeHandler(self)
        super().close()

    def _everybody(self) -> Iterable[Listening]:
        return ()


def _in_a_task() -> bool:
    try:
        return asyncio.current_task() is not None
    except RuntimeError:  # no loop runs
        return False
