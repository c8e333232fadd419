"""Records our changes to the host's network in a file, so that the next start can undo them after a kill.

In: changes, before each is made; out: what an earlier process left behind. Neighbours: `changes` (what is
recorded), `netconf` (which records and undoes).

The file is a JSON object, written anew for each change and renamed into place, mode 0600:

    version     1
    boot_id     from /proc/sys/kernel/random/boot_id: after a reboot no recorded change is in force
    netns       device and inode of the network namespace the changes were made in
    pid         the process that made them, for messages
    changes     a list, in the order they were made

A change is recorded before it is made. A kill in between leaves a record of a change that was not made, which
undoing tolerates; the other order would leave a change without a record. The rename needs no fsync: a power
failure ends in a reboot, which makes the record void. A file written by another user is not undone, since a
record can say anything; the changes themselves went with the killed process's device.

The lock on `<file>.lock` says whether the network is up. The kernel releases it when its owner dies, however
that happens.
"""

import json
import logging
import os
from pathlib import Path
from typing import Any

from ...errors import ConfigError, ToxvpnError
from ...state import lock
from ...state.files import user_name
from ...state.folder import Folder
from .changes import Change, from_json, to_json

VERSION = 1
log = logging.getLogger("toxvpn.tun")


class NetworkBusyError(ToxvpnError):
    """Another process has this network up."""


class Journal:
    """The open journal at `path`, held by one process at a time.

    `changes` starts with what a killed process left behind and we can undo.
    Raises NetworkBusyError when another process holds the journal, ToxvpnError when it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = _locked(path)
        self.changes: list[Change] = _left_behind(path)

    def add(self, change: Change) -> None:
        self.changes.append(change)
        try:
            self.write()
        except ToxvpnError:
            self.changes.remove(change)
            raise

    def remove(self, change: Change) -> None:
        self.changes.remove(change)
        self.write()

    def close(self) -> None:
        """Releases the lock; the file stays only if changes are left in it."""
        if not self.changes:
            self.path.unlink(missing_ok=True)
        os.close(self._lock)

    def write(self) -> None:
        """Writes `changes` as they are now."""
        record = _identity() | {"pid": os.getpid(), "changes": [to_json(change) for change in self.changes]}
        fresh = f"{self.path.name}.new"
        try:
            with Folder(self.path) as folder:
                folder.remove(fresh)
                with open(folder.make(fresh), "w") as file:  # noqa: PTH123
                    json.dump(record, file)
                folder.rename(fresh, self.path.name)
        except OSError as error:
            raise _unwritable(self.path, error) from error


def _locked(path: Path) -> int:
    try:
        return lock.take(path.with_name(path.name + ".lock"))
    except lock.LockHeldError:
        owner = _read(path)[0].get("pid")
        by = f" by process {owner}" if owner else ""
        message = f"this network is already up{by}: take it down first with 'toxvpn down'"
        raise NetworkBusyError(message) from None
    except OSError as error:
        raise _unwritable(path, error) from error


def _left_behind(path: Path) -> list[Change]:
    record, refused = _read(path)
    if refused:
        log.warning("changes to the network by an earlier run are not undone: %s", refused)
    identity = _identity()
    if any(record.get(key) != value for key, value in identity.items()):
        if record and record.get("boot_id") == identity["boot_id"]:
            log.warning("%s is from another network namespace or version: its changes are not undone", path)
        return []
    try:
        return [from_json(change) for change in record["changes"]]
    except (AttributeError, KeyError, TypeError, ValueError):
        log.warning("%s is damaged: changes to the network by an earlier run may be left", path)
        return []


def _read(path: Path) -> tuple[dict[str, Any], str]:
    """The record, {} if there is no usable one; and why it is not trusted, '' otherwise."""
    try:
        with Folder(path) as folder, open(folder.open(path.name, os.O_RDONLY), "rb") as file:  # noqa: PTH123
            owner = os.fstat(file.fileno()).st_uid
            if owner != os.geteuid():
                return {}, f"{path} was written by {user_name(owner)}"
            record = json.load(file)
    except ConfigError as error:
        return {}, str(error)
    except (OSError, ValueError, RecursionError):
        return {}, ""
    return (record, "") if isinstance(record, dict) else ({}, "")


def _identity() -> dict[str, Any]:
    """The part of a record that must match for it to be about the network that we see."""
    namespace = Path("/proc/thread-self/ns/net").stat()
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return {"version": VERSION, "boot_id": boot_id, "netns": [namespace.st_dev, namespace.st_ino]}


def _unwritable(path: Path, error: OSError) -> ToxvpnError:
    return ToxvpnError(
        f"the journal of network changes, {path}, cannot be written: {error.strerror}; check its directory"
    )
