"""The socket at which commands find the node they share: private to the user, named after what they share.

In: a command's options. Out: the socket's path; a connection, if a node listens; the lock under which nodes
start and end. The name is a keyed digest: /proc/net/unix shows it to everybody, and it must not help in
guessing which peer is called or with which secret.
"""

import contextlib
import hashlib
import os
import socket
import stat
from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from pathlib import Path

from .. import __version__
from ..config.options import ClientOptions, with_absolute_paths
from ..control import socketfile
from ..errors import ToxvpnError
from ..state import lock
from ..state.files import read_private, write_atomic
from ..state.places import find_runtime, make
from .messages import KIND, PROTOCOL

RUN_SOCKET_NAME = f"streams{PROTOCOL}.sock"
"""The socket of a run with peers, which lends its connections (lend.py)."""
DIRECTORY_NAME = "shared"
SUFFIX = ".sock"
KEY_NAME = "key"
LOCK_NAME = "lock"
KEY_BYTES = 32
NAME_BYTES = 12
OTHERS_MASK = 0o077
BACKLOG = 1024
"""Commands that wait while the node starts, or is busy; `xargs -P` starts many at once."""
ANSWER_S = 5.0
"""How long a command waits for its connection to be queued: a node whose queue is full for longer hangs."""


class NotSharedError(ToxvpnError):
    """No node can be shared, for the reason in `str()`; the command then has a node of its own."""


def for_node(options: ClientOptions) -> ClientOptions:
    """The options of the node, without what only one command wants of it."""
    node = with_absolute_paths(options)
    return replace(node, forwards=(), remotes=(), socks=(), pipe=None, ping=False, speed=None)


def connect_to_run(directory: Path | None, handed: Iterable[int] = ()) -> socket.socket | None:
    """A connection to the run that uses these files (`directory` is -C), if it may have what is `handed`.

    That is a run of this user's. Root also uses another user's, such as the service's, but hands it no
    terminal: it could read there what root types later.
    """
    try:
        connection = socketfile.connect_to(find_runtime(directory) / RUN_SOCKET_NAME, ANSWER_S, KIND)
    except OSError:
        return None
    ours = socketfile.credentials(connection).uid == os.geteuid()
    if not ours and (os.geteuid() != 0 or any(map(os.isatty, handed))):
        connection.close()
        return None
    connection.settimeout(None)
    return connection


class Rendezvous:
    """Raises NotSharedError when there is no directory that only this user can use."""

    def __init__(self, options: ClientOptions) -> None:
        self.directory = _private_directory(find_runtime(options.directory) / DIRECTORY_NAME)
        try:
            self.path = self.directory / f"{_name(for_node(options), self._key())}{SUFFIX}"
        except (OSError, ToxvpnError) as error:
            raise NotSharedError(f"cannot name the socket of a shared node: {error}") from None

    def connect(self) -> socket.socket | None:
        """A connection to the node, if one runs. Raises NotSharedError."""
        try:
            connection = socketfile.connect_to(self.path, ANSWER_S, KIND)
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        except OSError as error:
            raise NotSharedError(f"{self.path}: {error.strerror or error}") from None
        if socketfile.credentials(connection).uid != os.geteuid():
            connection.close()
            raise NotSharedError(f"another user listens at {self.path}")
        connection.settimeout(None)
        return connection

    def listen(self) -> socket.socket:
        """The listener of a new node; the caller holds the lock. Raises NotSharedError."""
        try:
            listener = socketfile.listen_as(self.path, KIND)
        except OSError as error:
            raise NotSharedError(f"cannot make the socket {self.path}: {error.strerror or error}") from None
        listener.listen(BACKLOG)
        return listener

    def sweep(self) -> None:
        """Removes the sockets of nodes that were killed; the caller holds the lock."""
        for path in self.directory.glob(f"*{SUFFIX}"):
            try:
                socketfile.connect_to(path, ANSWER_S, KIND).close()
            except ConnectionRefusedError:
                path.unlink(missing_ok=True)
            except OSError:  # it is busy
                continue

    @contextlib.contextmanager
    def lock(self, *, wait: bool = True) -> Iterator[bool]:
        """Holds the lock under which nodes start and end; False when it is taken. Raises NotSharedError."""
        descriptor = None
        try:
            descriptor = lock.take(self.directory / LOCK_NAME, wait=wait)
        except lock.LockHeldError:
            pass
        except (OSError, ToxvpnError) as error:
            raise NotSharedError(f"cannot lock {self.directory / LOCK_NAME}: {error}") from None
        try:
            yield descriptor is not None
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def _key(self) -> bytes:
        """The key of the names, made by the first command. Raises ToxvpnError."""
        path = self.directory / KEY_NAME
        key = read_private(path) or b""
        if len(key) == KEY_BYTES:
            return key
        with self.lock():
            key = read_private(path) or b""
            if len(key) != KEY_BYTES:
                key = os.urandom(KEY_BYTES)
                write_atomic(path, key)
        return key


def _private_directory(directory: Path) -> Path:
    try:
        found = make(directory).lstat()
    except ToxvpnError as error:
        raise NotSharedError(str(error)) from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & OTHERS_MASK:
        raise NotSharedError(f"other users have access to {directory}, or it is not a directory of this user")
    return directory


def _name(options: ClientOptions, key: bytes) -> str:
    """The same for commands of the same version, in the same network namespace, that want the same node.

    Raises OSError where there is no /proc.
    """
    network = Path("/proc/self/ns/net").stat()
    switches = sorted(item for item in os.environ.items() if item[0].startswith("TOXVPN_"))
    wanted = [(each.name, getattr(options, each.name)) for each in fields(options) if each.compare]
    everything = (PROTOCOL, __version__, network.st_dev, network.st_ino, switches, wanted)
    return hashlib.blake2b(repr(everything).encode(), key=key, digest_size=NAME_BYTES).hexdigest()
