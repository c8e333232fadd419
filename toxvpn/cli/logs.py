"""Where log records go: stderr, one line each, or syslog (-S, -z); stdout is for data.

The daemon's parts only ever call `logging.getLogger("toxvpn...")`; here is the only handler. Where
stderr is the journal, each line carries its level in front, as systemd reads it (sd-daemon(3)).
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
"""syslog(3): err, warning, info; what is below is debug, 7."""


def set_up(*, debug: int = 0, quiet: bool = False, level: int = logging.INFO, syslog: bool = False) -> None:
    """`level` is what this kind of run shows unless -q (errors only) or -d (everything) was given.

    Raises ToxvpnError: `syslog` is wanted and there is none.
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


def tell_error(line: str) -> None:
    """Why the program ends: to the person, and to a log that is not on the same terminal."""
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
    """systemd.exec(5), $JOURNAL_STREAM: device and inode of the stream that it gave us."""
    try:
        found = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):  # closed, or no file at all
        return False
    return environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


class JournalFormatter(logging.Formatter):
    """`<4>` and so on before each line; the time is the journal's to add."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(f"<{priority(record)}>{line}" for line in super().format(record).splitlines())


# -- syslog ----------------------------------------------------------------------------------------


def has_syslog() -> bool:
    return SYSLOG_SOCKET.is_socket()


class SyslogHandler(logging.Handler):
    """A syslog that is slow or away costs its records, and never holds the program up.

    Raises ToxvpnError when there is none at the start.
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
            self._socket.sendto(line.encode(), str(SYSLOG_SOCKET))  # found anew if it was started anew

    def close(self) -> None:
        self._socket.close()
        super().close()
