"""Sends the log of a node, which has no terminal, to the commands that use it, which show it.

Records of a session's own tasks go to its command alone, all others to all commands. A shared node also
keeps a log file of its own (logfile.py).
"""

import asyncio
import logging
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Protocol

from .messages import Message

QUIET = logging.CRITICAL + 1


class LogReceiver(Protocol):
    """A session, as far as the log is concerned. `level` is the lowest that its command shows."""

    level: int

    def try_send(self, message: Message) -> None:
        """The message is lost when the command does not read: it must not delay the others."""


CURRENT_SESSION: ContextVar[LogReceiver | None] = ContextVar("CURRENT_SESSION", default=None)
"""The session that this task belongs to."""


class LogRelay(logging.Handler):
    """Sends each record of the logger `toxvpn` to the sessions that it concerns."""

    def __init__(self) -> None:
        super().__init__()
        self._sessions: set[LogReceiver] = set()
        self._toxvpn = logging.getLogger("toxvpn")

    def add(self, session: LogReceiver) -> None:
        self._sessions.add(session)

    def discard(self, session: LogReceiver) -> None:
        self._sessions.discard(session)

    def emit(self, record: logging.LogRecord) -> None:
        message = {"log": record.levelno, "name": record.name, "text": self.format(record)}
        current = CURRENT_SESSION.get() if _in_a_task() else None  # a callback may have any context
        for session in [current] if current in self._sessions else self._sessions_by_default():
            if record.levelno >= session.level:
                session.try_send(message)

    def _sessions_by_default(self) -> Iterable[LogReceiver]:
        """The sessions that get what no session's own task logged."""
        return list(self._sessions)


class NodeLogRelay(LogRelay):
    """The shared node's: takes over the logger `toxvpn` and its level; `log_file` gets every record too."""

    def __init__(self, log_file: logging.Handler | None = None) -> None:
        super().__init__()
        self._file_level = QUIET if log_file is None else log_file.level
        self._toxvpn.handlers[:] = [self] if log_file is None else [self, log_file]
        self._toxvpn.propagate = False
        self._set_level()

    def add(self, session: LogReceiver) -> None:
        super().add(session)
        self._set_level()

    def discard(self, session: LogReceiver) -> None:
        super().discard(session)
        self._set_level()

    def _set_level(self) -> None:
        self._toxvpn.setLevel(min([self._file_level, *(session.level for session in self._sessions)]))


class RunLogRelay(LogRelay):
    """A run's, beside its own log, whose level stays as it is: a session gets what its own tasks log."""

    def __init__(self) -> None:
        super().__init__()
        self._toxvpn.addHandler(self)

    def close(self) -> None:
        self._toxvpn.removeHandler(self)
        super().close()

    def _sessions_by_default(self) -> Iterable[LogReceiver]:
        return ()


def _in_a_task() -> bool:
    try:
        return asyncio.current_task() is not None
    except RuntimeError:  # no loop runs
        return False
