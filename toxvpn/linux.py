"""What this process may do beyond an ordinary user: capabilities(7), and giving up those it can do without.

In: the few that are needed. Out: a process with no others, and no way to get more, for good. capset(2) is
about the calling thread, so threads are started later. Neighbours: process/needs.py says what a run needs.
"""

import ctypes
import os
import struct
from collections.abc import Collection
from enum import IntEnum

CAPABILITY_VERSION = 0x20080522  # linux/capability.h: _LINUX_CAPABILITY_VERSION_3
PR_SET_KEEPCAPS = 8
PR_SET_NO_NEW_PRIVS = 38
WORDS = struct.Struct("=6I")  # effective, permitted, inheritable of the low 32; then of the high 32


class Capability(IntEnum):
    CHOWN = 0
    DAC_OVERRIDE = 1
    FOWNER = 3
    NET_BIND_SERVICE = 10
    NET_ADMIN = 12


_libc = ctypes.CDLL(None, use_errno=True)


def keep_only(wanted: Collection[Capability]) -> None:
    """Of those we have: effective and permitted become these, inheritable and ambient none.

    Raises OSError: a filter of system calls may not let us.
    """
    bits = sum(1 << capability for capability in wanted) & permitted()
    low, high = bits & 0xFFFFFFFF, bits >> 32
    _check(_libc.capset(_header(), WORDS.pack(low, low, 0, high, high, 0)))


def permitted() -> int:
    """A bit for each. Raises OSError."""
    found = ctypes.create_string_buffer(WORDS.size)
    _check(_libc.capget(_header(), found))
    _, low, _, _, high, _ = WORDS.unpack(found.raw)
    return int(low | high << 32)


def keep_across_setuid() -> None:
    """Else they are gone with the change to another user. Raises OSError."""
    _prctl(PR_SET_KEEPCAPS)


def no_new_privileges() -> None:
    """No program that we start gets more than we have (PR_SET_NO_NEW_PRIVS). Raises OSError."""
    _prctl(PR_SET_NO_NEW_PRIVS)


def _header() -> bytes:
    return struct.pack("=Ii", CAPABILITY_VERSION, 0)  # of this thread


def _prctl(option: int) -> None:
    arguments = [ctypes.c_ulong(each) for each in (1, 0, 0, 0)]
    _check(_libc.prctl(option, *arguments))


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
