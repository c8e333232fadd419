"""The control socket as a file: created private where no other daemon answers, found again, removed.

The address of a UNIX socket holds 107 bytes, and a directory given with -C may be longer: then the address
goes through /proc/self/fd. Neighbours: server.py listens, client.py connects.
"""

import contextlib
import errno
import os
import socket
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError, NoPermissionError, ToxvpnError

SOCKET_NAME = "control.sock"
SOCKET_MODE = 0o600
MAX_ADDRESS_BYTES = 107  # unix(7): sun_path has 108, the last is NUL
BACKLOG = 64

_CREDENTIALS = struct.Struct("iII")  # struct ucred: pid, uid, gid


@dataclass(frozen=True, slots=True)
class Credentials:
    """The process at the other end of a UNIX socket. `pid` is 0 when it is in another pid namespace."""

    pid: int
    uid: int


def credentials(connection: socket.socket) -> Credentials:
    """The credentials at the time of connecting; a client gets those of when the server began to listen.

    Source: unix(7), SO_PEERCRED.
    """
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(raw)
    return Credentials(pid, uid)


@contextlib.contextmanager
def address(path: Path) -> Iterator[str]:
    """An address for creating the socket at `path`, valid inside the `with`. Raises OSError."""
    if len(os.fsencode(path)) <= MAX_ADDRESS_BYTES:
        yield str(path)
        return
    descriptor = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{path.name}"
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def address_found(path: Path) -> Iterator[str]:
    """The address of the socket at `path`, where a link is not followed. Raises OSError."""
    descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            raise ConnectionRefusedError(errno.ECONNREFUSED, "not a socket")
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def connect(directory: Path, timeout_s: float | None) -> socket.socket:
    """Connect to the control socket in `directory`. Raises OSError."""
    return connect_to(directory / SOCKET_NAME, timeout_s)


def connect_to(
    path: Path, timeout_s: float | None, kind: socket.SocketKind = socket.SOCK_STREAM
) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, kind)
    connection.settimeout(timeout_s)
    try:
        with address_found(path) as where:
            connection.connect(where)
    except BaseException:
        connection.close()
        raise
    return connection


def listen(directory: Path) -> socket.socket:
    """A listening socket that only its owner and root can connect to; replaces a stale one.

    Raises ToxvpnError when another process serves it, ConfigError when another kind of file has its name,
    NoPermissionError.
    """
    path = directory / SOCKET_NAME
    try:
        check_unserved(path)
        return listen_as(path)
    except OSError as error:
        kind = NoPermissionError if isinstance(error, PermissionError) else ToxvpnError
        raise kind(f"cannot create the control socket {path}: {os.strerror(error.errno or 0)}") from error


def listen_as(path: Path, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
    """A listening socket at `path`, which it takes only once it listens: a socket that is there answers.

    Only its owner and root can connect to it. Raises OSError.
    """
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)  # left by a run that was killed between bind and rename
    listener = socket.socket(socket.AF_UNIX, kind)
    try:
        os.fchmod(listener.fileno(), SOCKET_MODE)  # bind creates the file with this mode
        with address(fresh) as where:
            listener.bind(where)
        listener.listen(BACKLOG)
        fresh.replace(path)
    except BaseException:
        listener.close()
        raise
    return listener


def check_unserved(path: Path) -> None:
    """Raises ToxvpnError when a daemon answers there, ConfigError when the file is not a socket; OSError."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ConfigError(f"{path} is not a socket, but the control socket needs its name: move it away")
        connect(path.parent, timeout_s=1.0).close()
    except (FileNotFoundError, ConnectionRefusedError):
        return  # left by a daemon that was killed
    except (TimeoutError, BlockingIOError):
        pass  # it listens and is busy
    raise ToxvpnError(
        f"another toxvpn runs with {path}: stop it with `toxvpn down`, or give this one its own -C DIR"
    )


def remove(directory: Path, identity: tuple[int, int]) -> None:
    """Remove the socket if it is still the one with that (device, inode)."""
    remove_at(directory / SOCKET_NAME, identity)


def remove_at(path: Path, identity: tuple[int, int]) -> None:
    with contextlib.suppress(OSError):
        if identify(path) == identity:
            path.unlink()


def identify(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_dev, found.st_ino
