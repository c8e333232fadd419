"""Enters network namespaces of our own, and says why where this machine does not allow it.

For helper processes, which are started fresh: a user namespace is only open to a process with a single
thread. Nothing is mapped into a user namespace unless `map_user` is called: the rights over the network come
with being inside. Neighbours: `linux` (the system calls), `interpreter` (starts the helpers). Helpers stay as
long as a run, so nothing large is imported here, pathlib included (tests/test_loaded.py).
"""

import contextlib
import errno
import os
import sys

from . import linux
from .linux import CLONE_NEWNET, CLONE_NEWUSER, unshare

SYSCTL_FOLDER = "/proc/sys"
APPARMOR_SYSCTL = "kernel/apparmor_restrict_unprivileged_userns"
"""Of Ubuntu: 1 takes the rights in user namespaces from programs without a profile."""
FORBIDDING = ("kernel/unprivileged_userns_clone", "user/max_user_namespaces")
"""The sysctls that forbid user namespaces when they are 0; the first is Debian's."""


class BuildError(Exception):
    """`str()` is the reason, fit for the middle of a line."""


def enter_namespace(*, rootless: bool = False) -> bool:
    """Enters a new network namespace, inside a new user namespace if it must, or if `rootless`; then True.

    Raises BuildError.
    """
    if not rootless:
        try:
            unshare(CLONE_NEWNET)
        except OSError as error:
            if error.errno != errno.EPERM:
                raise BuildError(f"network namespaces are not available: {error.strerror}") from None
        else:
            return False
    try:
        unshare(CLONE_NEWUSER | CLONE_NEWNET)
    except OSError as error:
        raise BuildError(f"user namespaces are not allowed here: {_why_not(error)}") from None
    return True


def map_user(uid: int, gid: int) -> None:
    """Maps user and group of this process, which has entered a user namespace, to themselves.

    Files and processes belong to who we are outside. Source: user_namespaces(7). Raises OSError.
    """
    for name, line in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        _write(f"/proc/self/{name}", line)


def die_with(parent: int, name: str) -> None:
    """Names this process (15 bytes at most), and has the kernel kill it when its parent dies.

    unshare and a change of user take that back, so this comes after them.
    """
    with contextlib.suppress(OSError):  # a filter of system calls; it also ends when the socket closes
        linux.set_process_name(name)
        linux.kill_with_parent()
    if os.getppid() != parent:  # it died before we could ask
        sys.exit(0)


def set_sysctl(name: str, value: str) -> bool:
    """Whether the kernel has that sysctl (a path below /proc/sys) and let us set it."""
    with contextlib.suppress(OSError):
        _write(f"{SYSCTL_FOLDER}/{name}", value)
        return True
    return False


def without_rights(error: Exception) -> str:
    """The reason for a failure in a user namespace: usually its rights have been taken away."""
    if _reads(APPARMOR_SYSCTL, "1"):
        return f"user namespaces have no rights here: sysctl {APPARMOR_SYSCTL.replace('/', '.')} is 1"
    return str(error)


def _why_not(error: OSError) -> str:
    """Names the sysctl that forbids it, if it is a known one."""
    for name in FORBIDDING:
        if _reads(name, "0"):
            return f"sysctl {name.replace('/', '.')} is 0"
    return str(error.strerror)


def _reads(name: str, value: str) -> bool:
    with contextlib.suppress(OSError), open(f"{SYSCTL_FOLDER}/{name}") as file:  # noqa: PTH123
        return file.read().strip() == value
    return False


def _write(path: str, text: str) -> None:
    """Raises OSError."""
    with open(path, "w") as file:  # noqa: PTH123
        file.write(text)
