"""Tells systemd the state of a run (sd_notify(3)): ready, reloading, alive, stopping, and a status line.

In: NOTIFY_SOCKET and WATCHDOG_USEC, which are taken out of the environment. Out: datagrams to that
socket. Does nothing when not started by systemd. Neighbour: lifecycle.py decides when.
"""

import contextlib
import logging
import os
import socket
import time
from collections.abc import MutableMapping

log = logging.getLogger("toxvpn.daemon")


class Notifier:
    """`watchdog_s` is the longest time systemd waits for the next `alive`; None without a watchdog."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        self._address = _address(environ.pop("NOTIFY_SOCKET", ""))
        self.watchdog_s = _watchdog_s(environ)
        self._socket: socket.socket | None = None
        if self._address is not None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ready(self) -> None:
        self._send("READY=1")

    def reloading(self) -> None:
        """Reports that a reload has begun; the next `ready` reports its end."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def status(self, line: str) -> None:
        """Sets the line that `systemctl status` shows."""
        self._send("STATUS=" + " ".join(line.split()))

    def alive(self) -> None:
        self._send("WATCHDOG=1")

    def _send(self, text: str) -> None:
        if self._socket is None or self._address is None:
            return
        try:
            self._socket.sendto(text.encode(), self._address)
        except OSError as error:  # not a reason to end the run
            log.debug("could not send %r to systemd: %s", text, error.strerror)


def _address(text: str) -> str | None:
    """A path, or with a leading `@` a name in the abstract namespace."""
    if text.startswith("@"):
        return "\0" + text[1:]
    return text if text.startswith("/") else None


def _watchdog_s(environ: MutableMapping[str, str]) -> float | None:
    pid, usec = environ.pop("WATCHDOG_PID", ""), environ.pop("WATCHDOG_USEC", "")
    if pid and pid != str(os.getpid()):
        return None
    with contextlib.suppress(ValueError):
        return int(usec) / 1_000_000 if int(usec) > 0 else None
    return None
