"""Leave a chroot, inside which the kernel refuses to make user namespaces (unshare(2), EPERM).

What the chroot shows becomes the root of a mount namespace of the calling process, so that all looks as
before, to it and to what it starts. Needs root and one thread.
"""

import os
from pathlib import Path

from ..linux import CLONE_NEWNS, call, setns, unshare

_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000
_MNT_DETACH = 2


def leave_chroot() -> bool:
    """Leave the chroot, if this process is in one, and return whether it was. Raises OSError."""
    here = Path.cwd()
    unshare(CLONE_NEWNS)
    root = os.open("/", os.O_PATH)  # as it is mounted in the new namespace
    try:
        own = os.open("/proc/self/ns/mnt", os.O_RDONLY)
        setns(own, CLONE_NEWNS)  # which makes the namespace's root this process's
        os.close(own)
        was_chrooted = not os.path.samestat(os.fstat(root), Path("/").stat())
        if was_chrooted:
            _make_root(Path(f"/proc/self/fd/{root}").readlink())
    finally:
        os.close(root)
    os.chdir(here)
    return was_chrooted


def _make_root(folder: Path) -> None:
    """pivot_root(2), as its manual has it under "pivot_root(".", ".")"."""
    path = os.fsencode(folder)
    call("mount", None, b"/", None, _MS_REC | _MS_PRIVATE, None)
    call("mount", path, path, None, _MS_BIND | _MS_REC, None)
    os.chdir(folder)
    call("pivot_root", b".", b".")
    call("umount2", b".", _MNT_DETACH)
