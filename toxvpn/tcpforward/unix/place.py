"""Opens a file or directory by its path, reached by no link of another user.

Each part of the path is opened by itself, and a link is followed only if it is root's or this process's
user's: another user, whose directory the path leads through, cannot aim it elsewhere.
"""

import errno
import os
import stat

MAX_LINKS = 40
"""As the kernel follows, path_resolution(7)."""
_PLACE = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def open_place(path: str) -> int:
    """A descriptor (O_PATH) of the file at `path`, reached by no link of another user. Raises OSError."""
    place = os.open("/", _PLACE)
    ahead, links = path.split("/")[::-1], 0  # the names that are ahead, the next one last
    try:
        while ahead:
            reached = os.open(ahead.pop() or ".", _PLACE, dir_fd=place)
            if stat.S_ISLNK(os.fstat(reached).st_mode):
                links += 1
                leads_to = _read_link(reached, links)
                ahead += leads_to.split("/")[::-1]
                if not leads_to.startswith("/"):
                    continue
                reached = os.open("/", _PLACE)
            os.close(place)
            place = reached
    except BaseException:
        os.close(place)
        raise
    return place


def _read_link(link: int, number: int) -> str:
    """Where the link, the `number`th of its path, leads; closes it. Raises OSError."""
    try:
        if os.fstat(link).st_uid not in (0, os.geteuid()):
            raise OSError(errno.EPERM, "a link in it belongs to another user, and is not followed")
        if number > MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        return os.readlink("", dir_fd=link)
    finally:
        os.close(link)
