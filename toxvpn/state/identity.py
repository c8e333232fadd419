"""The identity: toxcore's savedata in the file `tox_save`, as in tuntox, used by one process at a time.

In: a directory, and savedata bytes from the binding. Out: savedata bytes for the binding.
Neighbours: files.py writes; `Tox(options, savedata=identity.savedata)` reads; whoever made the Tox
calls `save`. What the binding refused must not be saved over: raise `identity.unreadable(why)`.

Savedata also contains the DHT nodes and relays that were seen, so there is no separate node cache.
"""

import logging
import os
from pathlib import Path
from typing import Self

from ..errors import ConfigError, ToxvpnError
from . import lock
from .files import explain, read_private, write_atomic
from .places import make

log = logging.getLogger("toxvpn.identity")

SAVE_NAME = "tox_save"
LOCK_NAME = "lock"

# Savedata as libtoxcore 0.2 writes it, all integers little-endian (c-toxcore, toxcore/state.c):
# u32 0, u32 magic, then sections of u32 length, u16 type, u16 cookie, content; the last has type 255.
MAGIC = bytes(4) + (0x15ED1B1F).to_bytes(4, "little")
ENCRYPTED_MAGIC = b"toxEsave"
SECTION_HEADER_BYTES = 8
SECTION_COOKIE = 0x01CE
SECTION_KEYS = 1
SECTION_END = 255
KEYS_BYTES = 4 + 32 + 32  # nospam, public key, secret key


class Identity:
    """One Tox identity: kept in a directory, or (`ephemeral`) only in memory."""

    def __init__(self, path: Path | None, savedata: bytes | None, locked: int | None) -> None:
        self.path = path
        self.savedata = savedata
        self._lock = locked

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Takes the directory's identity for this process, making the directory if need be.

        Afterwards `savedata` is what the file holds, or None when there is no identity yet. The lock
        is a flock: it lives as long as any process that inherited the descriptor by fork, so fork
        into the background before, not after.
        Raises ConfigError when the savedata is damaged, NoPermissionError, or ToxvpnError when
        another process holds the identity.
        """
        directory = make(directory)
        locked = take_lock(directory / LOCK_NAME)
        try:
            path = directory / SAVE_NAME
            savedata = read_private(path)
            if savedata is not None:
                check(path, savedata)
        except BaseException:
            os.close(locked)
            raise
        log.debug("identity in %s: %s", path, "new" if savedata is None else f"{len(savedata)} bytes")
        return cls(path, savedata, locked)

    @classmethod
    def ephemeral(cls) -> Self:
        """A new identity that leaves no trace on disk."""
        return cls(None, None, None)

    def save(self, savedata: bytes) -> bool:
        """Writes `savedata` unless it is what the file holds; True if it wrote.

        Raises ToxvpnError (the old file is intact then).
        """
        if self.path is None or savedata == self.savedata:
            return False
        if self._lock is None:
            raise ToxvpnError(f"{self.path} is not written any more: this process has released the identity")
        write_atomic(self.path, savedata)
        self.savedata = savedata
        return True

    def unreadable(self, why: str) -> ConfigError:
        """The error to raise when libtoxcore cannot load `savedata`."""
        return damaged(self.path or Path(SAVE_NAME), why)

    def close(self) -> None:
        """Releases the identity for other processes. Idempotent."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def read_savedata(directory: Path) -> bytes | None:
    """The identity's savedata without taking it, also while another process runs with it.

    None if there is none. Raises as `Identity.open`.
    """
    path = directory / SAVE_NAME
    savedata = read_private(path)
    if savedata is not None:
        check(path, savedata)
    return savedata


class IdentityInUseError(ToxvpnError):
    """Another process uses this identity; two would break each other's connections."""


def take_lock(path: Path) -> int:
    """A descriptor that holds the lock; closing it, or the end of the process, lets go."""
    try:
        descriptor = lock.take(path)
    except lock.LockHeldError as held:
        raise IdentityInUseError(
            f"the identity in {path.parent} is in use by process {held.holder or '(unknown)'}; "
            "stop that one, or give this one a directory of its own with -C DIR"
        ) from None
    except OSError as error:
        raise explain(error, path, "open") from error
    lock.write_pid(descriptor)
    return descriptor


def check(path: Path, savedata: bytes) -> None:
    """Raises ConfigError unless the savedata is complete.

    libtoxcore 0.2.18 loads savedata that ends early between two sections without complaint, without
    the friends or even with a new key; saving that would destroy the identity.
    """
    if not savedata:
        raise damaged(path, "it is empty")
    if savedata.startswith(ENCRYPTED_MAGIC):
        raise damaged(path, "it is encrypted with a password, which toxvpn does not support")
    if not savedata.startswith(MAGIC):
        raise damaged(path, "it is not Tox savedata")
    offset = len(MAGIC)
    seen = set()
    while offset + SECTION_HEADER_BYTES <= len(savedata):
        length = int.from_bytes(savedata[offset : offset + 4], "little")
        kind = int.from_bytes(savedata[offset + 4 : offset + 6], "little")
        cookie = int.from_bytes(savedata[offset + 6 : offset + 8], "little")
        if cookie != SECTION_COOKIE or (kind == SECTION_KEYS and length != KEYS_BYTES):
            raise damaged(path, f"its section at byte {offset} is damaged")
        seen.add(kind)
        if kind == SECTION_END:
            break
        offset += SECTION_HEADER_BYTES + length
    if SECTION_END not in seen:
        raise damaged(path, "it ends early")
    if SECTION_KEYS not in seen:
        raise damaged(path, "it has no key")


def damaged(path: Path, why: str) -> ConfigError:
    return ConfigError(
        f"{path} is not usable: {why}; put a backup in its place, or move it away to start with a new Tox ID"
    )
