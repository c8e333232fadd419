"""Puts this process into a user's network (namespace.py), with that network's names, and makes it a command.

In: the process that owns the namespaces, a resolv.conf, the command. The process keeps its terminal, its
descriptors, its directory and its user, and has no rights beyond those of the user. It must have a single
thread. Names: the C library asks the servers in /etc/resolv.conf, or a resolver of this machine at a socket
(nsswitch.conf(5)); that file is covered and those sockets are hidden in a mount namespace of its own.
"""

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from .. import linux
from ..errors import NotRunningError, ToxvpnError

RESOLV_CONF = Path("/etc/resolv.conf")
RESOLVER_SOCKETS = ("/run/systemd/resolve", "/run/nscd", "/run/avahi-daemon")
"""The directories of systemd-resolved (nss-resolve), nscd and avahi (mdns4)."""
NOT_FOUND, NOT_EXECUTABLE = 127, 126
"""Exit codes for a command that does not run, as those of a shell."""
IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


def enter(owner: int, resolv_conf: Path) -> None:
    """`owner` is the ID of the process that owns the namespaces. Raises NotRunningError, ToxvpnError."""
    kinds = {"user": linux.CLONE_NEWUSER, "net": linux.CLONE_NEWNET}  # first the one that gives the rights
    try:
        descriptors = [os.open(f"/proc/{owner}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in kinds]
    except FileNotFoundError:
        raise NotRunningError("the network has just ended: start the command again") from None
    except OSError as error:
        raise ToxvpnError(f"the network of process {owner} cannot be entered: {error.strerror}") from None
    try:
        for descriptor, kind in zip(descriptors, kinds.values(), strict=True):
            linux.setns(descriptor, kind)
        linux.unshare(linux.CLONE_NEWNS)
        cover_names(resolv_conf)
    except OSError as error:
        raise ToxvpnError(f"the network of process {owner} cannot be entered: {error.strerror}") from None
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def cover_names(resolv_conf: Path) -> None:
    """Makes the C library use `resolv_conf`, and no resolver of this machine. Raises OSError.

    Without a file to cover there is nothing to do: the C library then asks 127.0.0.1, as resolv_conf says.
    """
    for directory in filter(os.path.isdir, RESOLVER_SOCKETS):
        linux.mount("tmpfs", directory, "tmpfs", data="mode=755,size=64k")
    target = Path(os.path.realpath(RESOLV_CONF))  # usually a link to a file of systemd-resolved's
    if not target.exists() and str(target.parent) in RESOLVER_SOCKETS:
        target.touch()
    if target.exists():
        linux.mount(str(resolv_conf), str(target), flags=linux.MS_BIND)


def become(command: Sequence[str]) -> NoReturn:
    """Replaces this process by the command, or ends with a shell's exit code where it cannot be run."""
    for number in IGNORED_BY_PYTHON:
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(command[0], list(command))
    except OSError as error:
        raise CommandError(command[0], error) from None


class CommandError(ToxvpnError):
    """The command could not be run; the exit code is that of a shell."""

    def __init__(self, command: str, error: OSError) -> None:
        super().__init__(f"cannot run {command}: {error.strerror}")
        self.exit_code = NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
