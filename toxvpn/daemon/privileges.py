"""`-U`: from root to a user with nothing but what the run needs, for good and before any packet is read.

In: a user's name or number. Out: this process with that user's IDs and groups, the asked capabilities
and no way to get more. Neighbour: run.py decides when and which.
"""

import ctypes
import os
import pwd
import struct
from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from ..errors import NoPermissionError, ToxvpnError, UsageError
from ..tox.files import explain
from ..tox.places import SERVICE_VARIABLE, find_places, make_for

CAPABILITY_VERSION = 0x20080522  # linux/capability.h: _LINUX_CAPABILITY_VERSION_3
PR_SET_KEEPCAPS = 8
PR_SET_NO_NEW_PRIVS = 38
LAST_ID = 2**32 - 2  # 2**32 - 1 is "no ID"


class Capability(IntEnum):
    """capabilities(7)."""

    NET_BIND_SERVICE = 10
    NET_ADMIN = 12


@dataclass(frozen=True, slots=True)
class Account:
    """`groups` are the supplementary ones, `home` where HOME is to point."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


def find_account(text: str) -> Account | None:
    """Whom -U names; a number that nobody has stands for itself, as user and as group.

    None: there is nothing to do, as we are that user already. Raises UsageError, NoPermissionError.
    """
    account = _look_up(text)
    if account.uid == 0:
        raise UsageError(f"-U {text}: that user has every right there is; name another one")
    if account.uid == os.geteuid():
        return None
    if os.geteuid() != 0:
        raise NoPermissionError(
            f"-U {text}: only root can become another user; start it as that user instead"
        )
    return account


def _look_up(text: str) -> Account:
    is_number = text.isascii() and text.isdigit() and 0 <= int(text) <= LAST_ID
    try:
        found = pwd.getpwuid(int(text)) if is_number else pwd.getpwnam(text)
    except KeyError:
        if not is_number:
            raise UsageError(f"-U {text!r}: there is no such user; `getent passwd` lists them") from None
        return Account(text, int(text), int(text), (), "/")
    groups = os.getgrouplist(found.pw_name, found.pw_gid)
    return Account(found.pw_name, found.pw_uid, found.pw_gid, tuple(groups), found.pw_dir)


def hand_over(account: Account, directory: Path | None) -> None:
    """Lets the user have the directories of the run; those missing are made. Raises NoPermissionError.

    `directory` is -C; without it they are the service's, also for the process that is not root any more.
    """
    places = find_places(directory)
    for place in dict.fromkeys((places.data, places.state, places.runtime)):
        try:
            make_for(place, account.uid, account.gid)
            owner = place.stat().st_uid
        except OSError as error:
            raise explain(error, place, "use") from error
        if owner != account.uid:
            raise NoPermissionError(
                f"-U {account.name}: {place} is not that user's: chown -R {account.name} {place}"
            )
    if directory is None:
        os.environ[SERVICE_VARIABLE] = "1"


def become(account: Account, keep: Collection[Capability] = ()) -> None:
    """For good: there is no way back. Raises ToxvpnError."""
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        os.setgroups(account.groups)
        os.setresgid(account.gid, account.gid, account.gid)
        _prctl(libc, PR_SET_KEEPCAPS, 1 if keep else 0)
        os.setresuid(account.uid, account.uid, account.uid)
        _set_capabilities(libc, keep)
        _prctl(libc, PR_SET_NO_NEW_PRIVS, 1)
    except OSError as error:
        raise ToxvpnError(f"cannot become user {account.name}: {error.strerror}") from error
    os.environ.update(HOME=account.home, USER=account.name, LOGNAME=account.name)


def _prctl(libc: ctypes.CDLL, option: int, value: int) -> None:
    if libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)):
        _fail()


def _set_capabilities(libc: ctypes.CDLL, keep: Collection[Capability]) -> None:
    """capset(2): effective and permitted are `keep`, inheritable is nothing; each in two words."""
    bits = sum(1 << capability for capability in keep)
    low, high = bits & 0xFFFFFFFF, bits >> 32
    header = struct.pack("=Ii", CAPABILITY_VERSION, 0)
    if libc.capset(header, struct.pack("=6I", low, low, 0, high, high, 0)):
        _fail()


def _fail() -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))
