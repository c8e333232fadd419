"""Sends log records to stderr, one line each, or to syslog (-S, -z); stdout is for data.

All other modules only call `logging.getLogger("toxvpn...")`; the only handler is here. If stderr is the
journal, each line begins with its level, as systemd reads it (sd-daemon(3)).
"""

import contextlib
import logging
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from ..errors import ToxvpnError

PLAIN = "%(levelname)s: %(message)s"
DETAILED = "%(asctime)s.%(msecs)03d %(levelname)s %(name)s: %(message)s"
SYSLOG = "toxvpn[%(process)d]: %(message)s"
CLOCK = "%H:%M:%S"

SYSLOG_SOCKET = Path("/dev/log")
FACILITY_DAEMON = 3 << 3
PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
"""syslog(3): err, warning, info; anything below is debug, 7."""


def set_up(*, debug: int = 0, quiet: bool = False, level: int = logging.INFO, syslog: bool = False) -> None:
    """Installs the handler. `level` is in force unless -q (errors only) or -d (everything) was given.

    Raises ToxvpnError when `syslog` is wanted and there is none.
    """
    if quiet:
        level = logging.ERROR
    if debug:
        level = logging.DEBUG
    root = logging.getLogger("toxvpn")
    for old in list(root.handlers):
        root.removeHandler(old)
        old.close()
    root.addHandler(SyslogHandler() if syslog else stderr_handler(detailed=bool(debug)))
    root.setLevel(level)
    root.propagate = False


def print_error(line: str) -> None:
    """Prints why the program ends, and logs it too where the log is not on the same terminal."""
    handlers = logging.getLogger("toxvpn").handlers
    in_journal = any(isinstance(handler.formatter, JournalFormatter) for handler in handlers)
    if in_journal or any(isinstance(handler, SyslogHandler) for handler in handlers):
        logging.getLogger("toxvpn").error("%s", line)
    if not in_journal:
        click.echo(f"toxvpn: {line}", err=True)


def priority(record: logging.LogRecord) -> int:
    return next((number for level, number in PRIORITIES if record.levelno >= level), 7)


# -- stderr ----------------------------------------------------------------------------------------


def stderr_handler(*, detailed: bool) -> logging.Handler:
    handler = logging.StreamHandler()
    if stderr_is_journal(os.environ):
        handler.setFormatter(JournalFormatter("%(name)s: %(message)s" if detailed else "%(message)s"))
    else:
        handler.setFormatter(logging.Formatter(DETAILED if detailed else PLAIN, CLOCK))
    return handler


def stderr_is_journal(environ: Mapping[str, str]) -> bool:
    """Compares stderr with $JOURNAL_STREAM: device and inode of the stream from systemd (systemd.exec(5))."""
    try:
        found = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):  # closed, or not a file
        return False
    return environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


class JournalFormatter(logging.Formatter):
    """Puts the priority, such as `<4>`, before each line; the journal adds the time."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(f"<{priority(record)}>{line}" for line in super().format(record).splitlines())


# -- syslog ----------------------------------------------------------------------------------------


def has_syslog() -> bool:
    return SYSLOG_SOCKET.is_socket()


class SyslogHandler(logging.Handler):
    """Sends records to syslog. If it is slow or gone they are lost, and the program does not wait.

    Construction raises ToxvpnError when there is no syslog.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter(SYSLOG))
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        if not has_syslog():
            self._socket.close()
            raise ToxvpnError(f"-S: there is no syslog at {SYSLOG_SOCKET}: start one, or leave -S out")

    def emit(self, record: logging.LogRecord) -> None:
        line = f"<{FACILITY_DAEMON | priority(record)}>{self.format(record)}"
        with contextlib.suppress(OSError):
            self._socket.sendto(
                line.encode(), str(SYSLOG_SOCKET)
            )  # by path, so that a restarted one is found

    def close(self) -> None:
        self._socket.close()
        super().close()
