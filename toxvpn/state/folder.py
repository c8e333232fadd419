"""Safe use of files in a directory that may belong to another user.

Root works on a service's files, and the owner of their directory can put a symbolic or hard link to one of
root's files there, or a pipe without a writer. So in a directory that others can write to, no link is
followed, and a file is used only if it is a regular one that belongs to the directory's owner, or to us with
no second name. All operations go through the directory's descriptor, and all checks through the file's, as a
name may mean another file a moment later. Neighbours: files.py, places.py.
"""

import contextlib
import os
import stat
from pathlib import Path
from typing import Self

from ..errors import ConfigError

PRIVATE_MODE = 0o600
_ALWAYS = os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
"""Flags with which opening a pipe or terminal neither blocks nor changes anything."""


class Folder:
    """The directory of `path`, open for a `with` block. Its methods take `path.name`. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path.parent
        self.descriptor = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._found = os.fstat(self.descriptor)
        self.is_ours = is_ours_alone(self._found)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self.descriptor)

    def open(self, name: str, flags: int) -> int:
        """Opens a regular file that is safe to use. Raises OSError, and ConfigError when it is not safe."""
        if not self.is_ours:
            flags |= os.O_NOFOLLOW
        try:
            descriptor = os.open(name, flags | _ALWAYS, dir_fd=self.descriptor)
        except OSError:
            self._refuse_link(name, flags)
            raise
        try:
            self._check(name, os.fstat(descriptor))
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def make(self, name: str, mode: int = PRIVATE_MODE, flags: int = os.O_RDWR) -> int:
        """Creates a file for writing. Raises OSError; FileExistsError also for a link."""
        flags |= os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(name, flags, mode, dir_fd=self.descriptor)

    def open_or_make(self, name: str, mode: int = PRIVATE_MODE, flags: int = os.O_RDWR) -> tuple[int, bool]:
        """Opens a file for writing, never through a link, or creates it (True). Raises as `open`."""
        while True:
            with contextlib.suppress(FileNotFoundError):
                return self.open(name, flags | os.O_NOFOLLOW), False
            with contextlib.suppress(FileExistsError):
                return self.make(name, mode, flags), True

    def give(self, descriptor: int) -> None:
        """Gives the file to the directory's owner if we are root: the service could not open root's files.

        Only for files that `make` created: any other may belong to somebody else.
        """
        if os.geteuid() == 0 and self._found.st_uid != 0:
            with contextlib.suppress(PermissionError):  # a file system without owners (FAT)
                os.fchown(descriptor, self._found.st_uid, self._found.st_gid)

    def rename(self, name: str, to: str) -> None:
        os.replace(name, to, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)

    def remove(self, name: str) -> None:
        """Does nothing when there is no such file."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.descriptor)

    def is_link(self, name: str) -> bool:
        with contextlib.suppress(OSError):
            return stat.S_ISLNK(os.lstat(name, dir_fd=self.descriptor).st_mode)
        return False

    def sync(self) -> None:
        """Makes a rename survive a power cut."""
        descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self.descriptor)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _check(self, name: str, found: os.stat_result) -> None:
        if not stat.S_ISREG(found.st_mode):
            what = "not a regular file"
        elif self.is_ours or found.st_uid == self._found.st_uid:
            return
        elif found.st_uid != os.geteuid():
            what = "owned by another user than its directory"
        elif found.st_nlink > 1:
            what = "a hard link in a directory that others can write to"
        else:
            return
        raise ConfigError(
            f"{self.path / name} is {what}; move it away, or choose another directory with -C DIR"
        )

    def _refuse_link(self, name: str, flags: int) -> None:
        """Replaces the error of O_NOFOLLOW, which speaks of too many links."""
        if flags & os.O_NOFOLLOW and self.is_link(name):
            raise ConfigError(
                f"{self.path / name} is a symbolic link, which is not followed here; "
                "put the file itself there, or choose another directory with -C DIR"
            ) from None


def is_ours_alone(found: os.stat_result) -> bool:
    """Whether only we and root can write to it."""
    return found.st_uid in {os.geteuid(), 0} and not others_can_write(found)


def others_can_write(found: os.stat_result) -> bool:
    """Whether anybody but the owner can write to it; a private group of the owner's does not count."""
    if found.st_mode & stat.S_IWOTH:
        return True
    return bool(found.st_mode & stat.S_IWGRP) and not _is_private_group(found.st_gid, found.st_uid)


def _is_private_group(gid: int, uid: int) -> bool:
    import grp  # only needed for a directory that a group can write to
    import pwd

    try:
        user, group = pwd.getpwuid(uid), grp.getgrgid(gid)
    except KeyError:
        return False
    return user.pw_gid == gid and group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}
