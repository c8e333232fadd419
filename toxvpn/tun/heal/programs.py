"""Names the program that changed our network, from the kernel's notices and /proc.

In: notices, each while its sender may still run; out: words for a message. A program's first netlink socket
has its process ID as port, and libnl and pyroute2 put that in the low 22 bits. From the port of a further
socket nothing follows, and some notices have none; then a running program that is known to manage networks is
the likely one.
"""

import os
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path

from .notices import Notice

UNKNOWN = "another program"
REMEMBERED_S = 10.0
INIT = 1
_PID_BITS = 22
_CHOSEN_BY_KERNEL = 1 << 31  # from here up: ports of a process's further sockets (netlink_autobind)
_SHORT_LIVED = ("ip", "ifup", "ifdown", "ifconfig", "route", "networkctl", "netplan", "nmcli")
_MANAGERS = (*_SHORT_LIVED, "NetworkManager", "systemd-network", "dhcpcd", "dhclient", "connmand", "wicked")
"""As in /proc/PID/comm, which holds 15 bytes; the likelier ones first."""


class Culprits:
    """Remembers for a while who took away what, by kind of change."""

    def __init__(
        self,
        named: Callable[[int], str] | None = None,
        likely: Callable[[], str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._named = named or named_by
        self._likely = likely or likely_program
        self._clock = clock
        self._noted: dict[str, tuple[float, str]] = {}
        self._guessed: dict[str, tuple[float, str]] = {}

    def note(self, notice: Notice) -> None:
        """To be called at once, for the program may end. What we do ourselves is passed over."""
        if notice.port and _pid(notice.port) == os.getpid():
            return
        if notice.program:
            name = _clean(notice.program)
            if _comm(notice.port) == name:  # the process ID is another one in a container
                name += f" (process {notice.port})"
        else:
            name = self._named(notice.port)
        if name:
            self._noted[notice.kind] = self._clock(), name
        else:
            self._guessed[notice.kind] = self._clock(), self._likely()

    def take(self, kinds: Collection[str]) -> str:
        """Who took away things of these kinds; forgets all that is known."""
        names = self._recent(self._noted, kinds) or self._recent(self._guessed, kinds)
        self._noted.clear()
        self._guessed.clear()
        return " and ".join(names) or UNKNOWN

    def _recent(self, found: Mapping[str, tuple[float, str]], kinds: Collection[str]) -> list[str]:
        """A link that was set down took everything with it."""
        oldest_s = self._clock() - REMEMBERED_S
        recent = {kind: name for kind, (then_s, name) in found.items() if name and then_s >= oldest_s}
        named = [recent[kind] for kind in sorted(kinds) if kind in recent]
        return list(dict.fromkeys(named or [name for kind, name in recent.items() if kind == "link"]))


def named_by(port: int) -> str:
    """Such as "ip (process 4711, started by bash)"; "" when the port tells nothing."""
    pid = _pid(port)
    if not pid:
        return ""
    name = _comm(pid)
    if not name:
        if _comm(INIT):
            return f"a program that has ended (process {pid})"
        return f"process {pid} ('ps -p {pid}' tells which that is)"  # a service that may not see others'
    parent = _parent(pid)
    starter = _comm(parent) if parent > INIT else ""
    return f"{name} (process {pid}{f', started by {starter}' if starter else ''})"


def likely_program() -> str:
    """A running program that manages networks, the likeliest one; "" when none runs."""
    running = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and (name := _comm(int(entry.name))) in _MANAGERS:
            running[name] = entry.name
    found = next((name for name in _MANAGERS if name in running), "")
    return found and f"probably {found} (process {running[found]})"


def _pid(port: int) -> int | None:
    """0 for the kernel, which also removes IPv6 addresses in the name of others; None: it cannot be known."""
    return None if port >= _CHOSEN_BY_KERNEL else port & ((1 << _PID_BITS) - 1)


def _comm(pid: int) -> str:
    with suppress(OSError):
        return _clean(Path(f"/proc/{pid}/comm").read_bytes().decode(errors="replace").strip())
    return ""


def _parent(pid: int) -> int:
    """0 when the process has ended."""
    with suppress(OSError, ValueError):
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
    return 0


def _clean(name: str) -> str:
    """A program can give itself any name."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name)
