"""What systemd hears of a run (sd_notify(3)): that it is ready, how it stands, that it lives, that it ends.

In: NOTIFY_SOCKET and WATCHDOG_USEC, which are taken out of the environment. Out: datagrams to that
socket. Started by anything else, nothing is told to nobody. Neighbour: life.py says when.
"""

import contextlib
import logging
import os
import socket
import time
from collections.abc import MutableMapping

log = logging.getLogger("toxvpn.daemon")


class Notifier:
    """`watchdog_s`: within this time systemd wants to hear `alive`, or None."""

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
        self._tell("READY=1")

    def reloading(self) -> None:
        """`ready` says when it is over."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        self._tell("STOPPING=1")

    def status(self, line: str) -> None:
        """What `systemctl status` shows."""
        self._tell("STATUS=" + " ".join(line.split()))

    def alive(self) -> None:
        self._tell("WATCHDOG=1")

    def _tell(self, text: str) -> None:
        if self._socket is None or self._address is None:
            return
        try:
            self._socket.sendto(text.encode(), self._address)
        except OSError as error:  # nobody hears it: no reason to end
            log.debug("systemd was not told %r: %s", text, error.strerror)


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
