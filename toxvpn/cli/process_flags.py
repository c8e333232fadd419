"""Flags about the process, which every kind of run takes: background, pidfile, user, syslog, proxy.

In: what was typed, and the environment. Out: keyword arguments for the options in config/options.py.
"""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self, TypeVar

import click

from ..config.options import NodeOptions
from ..errors import UsageError
from ..tox.proxy import Proxy, parse_proxy
from . import logs
from .shared import PATH, Decorator, Settings, flag

log = logging.getLogger("toxvpn.cli")

O = TypeVar("O", bound=NodeOptions)  # noqa: E741

PROXY_VARIABLES = ("ALL_PROXY", "all_proxy")

PROXY = flag(
    "Common",
    "--proxy",
    metavar="URL",
    help="Reach Tox only through this: socks5://HOST:PORT or http://HOST:PORT. [default: ALL_PROXY]",
)
PROCESS: tuple[Decorator, ...] = (
    PROXY,
    flag("Process", "-z", "daemonize", is_flag=True,
         help="Go into the background as soon as it serves; log to syslog."),
    flag("Process", "-F", "pid_file", metavar="FILE", type=PATH, help="Write the process ID to FILE."),
    flag("Process", "-U", "user", metavar="USER", help="As root: become USER (a name or number) for good."),
    flag("Process", "--metrics-port", metavar="PORT", type=click.IntRange(1, 65535),
         help="Serve metrics for Prometheus to this machine, at http://localhost:PORT/metrics."),
    flag("Process", "-S", "syslog", is_flag=True, help="Log to syslog instead of stderr."),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """The flags as typed; each name is also the name of the click parameter."""

    proxy: str | None = None
    daemonize: bool = False
    pid_file: Path | None = None
    user: str | None = None
    syslog: bool = False
    metrics_port: int | None = None

    @classmethod
    def taken_from(cls, typed: dict[str, Any]) -> Self:
        """Takes them out of all that was typed."""
        return cls(**{each.name: typed.pop(each.name) for each in fields(cls)})

    def begin(self, settings: Settings, level: int = logging.INFO) -> None:
        """Sets up logging. Raises UsageError, ToxvpnError."""
        settings.begin(level, syslog=self.syslog or (self.daemonize and logs.has_syslog()))
        if self.daemonize and not self.syslog and not logs.has_syslog():
            log.warning("no syslog at %s: in the background nothing will be logged", logs.SYSLOG_SOCKET)

    def options(self, configured_proxy: str | None = None) -> dict[str, Any]:
        """Arguments for the options of the run. Raises UsageError."""
        return {
            "proxy": find_proxy(self.proxy, configured_proxy, os.environ),
            "daemonize": self.daemonize,
            "pid_file": self.pid_file,
            "user": self.user,
            "metrics_port": self.metrics_port,
        }


def without_ports_beside_a_proxy(options: O) -> O:
    """Raises UsageError: ports of our own, where all is to go through the proxy."""
    if options.proxy is not None and (options.udp_ports is not None or options.tcp_port):
        raise UsageError(f"-u and -t open ports of our own, where all is to go through {options.proxy}")
    return options


def find_proxy(typed: str | None, configured: str | None, environ: Mapping[str, str]) -> Proxy | None:
    """Raises UsageError, also for what the environment says: going direct instead would be a leak."""
    if typed is not None:
        return parse_proxy(typed, "--proxy")
    if configured is not None:
        return parse_proxy(configured, "proxy of [node]")
    for name in PROXY_VARIABLES:
        if environ.get(name):
            return parse_proxy(environ[name], f"${name} (unset it to go without)")
    return None
