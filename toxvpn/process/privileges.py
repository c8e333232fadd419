"""Drops root's privileges for good, before any packet is read; with `-U`, becomes another user.

In: a user's name or number, and the capabilities to keep. Out: this process with that user's IDs and groups,
those capabilities and no way to get more. Neighbours: run.py and daemon/node.py decide when, needs.py which
capabilities are kept.
"""

import logging
import os
import pwd
from collections.abc import Collection
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
    """A user to become. `groups` are the supplementary ones, `home` is the new value of HOME."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


def find_account(text: str) -> Account | None:
    """The user that -U names; a number without an account is taken as user ID and as group ID.

    None when we are that user already. Raises UsageError, NoPermissionError.
    """
    account = _look_up(text)
    if account.uid == 0:
        raise UsageError(f"-U {text} is root, which would keep every privilege: choose another user")
    if account.uid == os.geteuid():
        return None
    if os.geteuid() != 0:
        raise NoPermissionError(
            f"-U {text} takes root, as only root can become another user; start toxvpn as that user instead"
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
    """Makes the directories of the run where they are missing, for that user.

    `directory` is -C; without it they are those of the system service, also once the process is not root any
    more. Raises NoPermissionError when one belongs to another user.
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
                f"-U {account.name}: {place} belongs to another user: run chown -R {account.name} {place}"
            )
    if directory is None:
        os.environ[SERVICE_VARIABLE] = "1"


def become(account: Account, keep: Collection[Capability] = ()) -> None:
    """Becomes that user for good, with no other capabilities than `keep`. Raises ToxvpnError."""
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


def drop_privileges(keep: Collection[Capability]) -> None:
    """Gives up every capability but those, for good: before a packet is read, and after the start.

    For one, a receive buffer of a datagram socket beyond net.core.rmem_max takes NET_ADMIN.
    """
    if not linux.permitted():
        return
    try:
        linux.keep_only(keep)
        linux.no_new_privileges()
    except OSError as error:  # a filter of system calls, as that of our own unit
        level = logging.WARNING if os.geteuid() == 0 else logging.DEBUG
        log.log(level, "could not give up all privileges: %s", error.strerror)
