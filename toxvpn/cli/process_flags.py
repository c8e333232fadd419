"""The options about the process that every kind of run takes: background, pidfile, user, syslog, metrics."""

import logging
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import click

from ..wire.ports import parse_port
from . import logs
from .shared import PATH, Decorator, Settings, flag

log = logging.getLogger("toxvpn.cli")


DAEMONIZE = ""
"""The value of -D when it stands alone, which then means -z."""


def read_port(text: str) -> int:
    try:
        return parse_port(text)
    except ValueError as failure:
        raise click.BadParameter(str(failure)) from None


PROCESS: tuple[Decorator, ...] = (
    flag("Process", "-z", "daemonize", is_flag=True,
         help="Go into the background as soon as it serves; log to syslog."),
    flag("Process", "-F", "pid_file", metavar="FILE", type=PATH, help="Write the process ID to FILE."),
    flag("Process", "-U", "user", metavar="USER", help="As root: become USER (a name or number) for good."),
    flag("Process", "--metrics-port", metavar="PORT", type=read_port,
         help="Serve metrics for Prometheus to this machine, at http://localhost:PORT/metrics."),
    flag("Process", "-S", "syslog", is_flag=True, help="Log to syslog instead of stderr."),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessOptions:
    """The options as typed; each name is also the name of the click parameter."""

    daemonize: bool = False
    pid_file: Path | None = None
    user: str | None = None
    syslog: bool = False
    metrics_port: int | None = None

    @classmethod
    def taken_from(cls, typed: dict[str, Any]) -> Self:
        """Removes them from `typed`, the parameters of a command."""
        return cls(**{each.name: typed.pop(each.name) for each in fields(cls)})

    def begin(self, settings: Settings, level: int = logging.INFO) -> None:
        """Sets up logging. Raises UsageError, ToxvpnError."""
        settings.begin(level, syslog=self.syslog or (self.daemonize and logs.has_syslog()))
        if self.daemonize and not self.syslog and not logs.has_syslog():
            log.warning("no syslog at %s: in the background nothing will be logged", logs.SYSLOG_SOCKET)

    def as_arguments(self) -> dict[str, Any]:
        """Arguments for NodeOptions."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name != "syslog"}
