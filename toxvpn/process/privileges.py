"""From root to nothing but what the run needs, for good and before any packet is read; `-U`: to a user.

In: a user's name or number, the rights to keep. Out: this process with that user's IDs and groups, the
asked capabilities and no way to get more. Neighbours: run.py and base.py decide when, needs.py which.
"""

import logging
import os
import pwd
from collections.abc import Collection
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from .. import linux
from ..errors import NoPermissionError, ToxvpnError, UsageError
from ..linux import Capability
from ..state.files import explain
from ..state.places import SERVICE_VARIABLE, find_places, make_for

log = logging.getLogger("toxvpn")

LAST_ID = 2**32 - 2  # 2**32 - 1 is "no ID"


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
    try:
        os.setgroups(account.groups)
        os.setresgid(account.gid, account.gid, account.gid)
        linux.keep_across_setuid()
        os.setresuid(account.uid, account.uid, account.uid)
        linux.keep_only(keep)
        linux.no_new_privileges()
    except OSError as error:
        raise ToxvpnError(f"cannot become user {account.name}: {error.strerror}") from error
    os.environ.update(HOME=account.home, USER=account.name, LOGNAME=account.name)


KEEP: ContextVar[Collection[Capability]] = ContextVar("KEEP")
"""What the run that this task is part of needs once it is on the network."""


def settle() -> None:
    """Gives up all else, before a packet is read, and once what only a start takes has been done.

    For one, a datagram socket's receive buffer beyond net.core.rmem_max takes NET_ADMIN.
    """
    keep = KEEP.get(None)
    if keep is None or not linux.permitted():
        return
    try:
        linux.keep_only(keep)
        linux.no_new_privileges()
    except OSError as error:  # a filter of system calls, as that of our own unit
        level = logging.WARNING if os.geteuid() == 0 else logging.DEBUG
        log.log(level, "not all rights could be given up: %s", error.strerror)
