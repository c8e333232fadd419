"""Linux system calls that Python's `os` does not have, through ctypes: privileges, namespaces, mounts, names.

In: capabilities(7), flags of unshare(2) and setns(2). Out: nothing, or OSError. capset(2), unshare(2) and
setns(2) act on the calling thread, so threads are started later. process/needs.py says which capabilities a
run keeps.
"""

import ctypes
import os
import signal
import struct
from collections.abc import Collection
from enum import IntEnum

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000

MS_BIND = 0x1000
RENAME_NOREPLACE = 1

CAPABILITY_VERSION = 0x20080522  # linux/capability.h: _LINUX_CAPABILITY_VERSION_3
PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_SET_NAME = 15
PR_SET_NO_NEW_PRIVS = 38
WORDS = struct.Struct("=6I")  # effective, permitted, inheritable of the low 32; then of the high 32


class Capability(IntEnum):
    CHOWN = 0
    DAC_OVERRIDE = 1
    FOWNER = 3
    NET_BIND_SERVICE = 10
    NET_ADMIN = 12
    SETFCAP = 31


_libc = ctypes.CDLL(None, use_errno=True)


def keep_only(wanted: Collection[Capability]) -> None:
    """Gives up every capability but these; the inheritable and ambient sets become empty.

    A wanted one that this thread does not have is left out. Raises OSError: a filter of system calls may
    forbid it.
    """
    bits = sum(1 << capability for capability in wanted) & permitted()
    low, high = bits & 0xFFFFFFFF, bits >> 32
    call("capset", _header(), WORDS.pack(low, low, 0, high, high, 0))


def permitted() -> int:
    """The permitted capabilities of this thread, one bit each. Raises OSError."""
    found = ctypes.create_string_buffer(WORDS.size)
    call("capget", _header(), found)
    _, low, _, _, high, _ = WORDS.unpack(found.raw)
    return int(low | high << 32)


def keep_across_setuid() -> None:
    """Keeps the permitted capabilities when root becomes another user (PR_SET_KEEPCAPS). Raises OSError."""
    _prctl(PR_SET_KEEPCAPS, 1)


def no_new_privileges() -> None:
    """Programs that we start cannot get more rights than we have (PR_SET_NO_NEW_PRIVS). Raises OSError."""
    _prctl(PR_SET_NO_NEW_PRIVS, 1)


def kill_with_parent() -> None:
    """SIGKILL for this process when the thread that started it ends (PR_SET_PDEATHSIG). Raises OSError.

    unshare(2) and a change of user take the wish back. A parent that has died already is not noticed.
    """
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def set_process_name(name: str) -> None:
    """The name of this thread in ps and top, of at most 15 bytes (PR_SET_NAME). Raises OSError."""
    _prctl(PR_SET_NAME, ctypes.c_char_p(name.encode()))


def unshare(flags: int) -> None:
    """unshare(2); `os.unshare` comes with Python 3.12. Raises OSError."""
    call("unshare", flags)


def setns(descriptor: int, kind: int) -> None:
    """setns(2); `os.setns` comes with Python 3.12. Raises OSError."""
    call("setns", descriptor, kind)


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2). Raises OSError."""
    words = [os.fsencode(each) for each in (source, target, kind)]
    call("mount", *words, ctypes.c_ulong(flags), data.encode())


def rename_exclusive(old: bytes, new: bytes, folder: int) -> None:
    """renameat2(2) with RENAME_NOREPLACE, within an open directory. Raises OSError.

    FileExistsError: there is something of that name. EINVAL: this file system does not have it.
    """
    if _libc.renameat2(folder, old, folder, new, RENAME_NOREPLACE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), new)


def inotify() -> int:
    """A new descriptor of inotify(7), which does not block and is closed on exec. Raises OSError."""
    return _descriptor(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))


def inotify_watch(descriptor: int, folder: os.PathLike[str], mask: int) -> None:
    """inotify_add_watch(2) for a folder; one that is watched already gets the new mask. Raises OSError."""
    _descriptor(_libc.inotify_add_watch(descriptor, os.fsencode(folder), ctypes.c_uint32(mask)))


def call(name: str, *arguments: object) -> None:
    """Calls the C library's function, which returns 0 or sets errno. Raises OSError."""
    if getattr(_libc, name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _descriptor(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _prctl(option: int, value: object) -> None:
    first = ctypes.c_ulong(value) if isinstance(value, int) else value
    call("prctl", option, first, *[ctypes.c_ulong(0)] * 3)


def _header() -> bytes:
    return struct.pack("=Ii", CAPABILITY_VERSION, 0)  # of this thread
