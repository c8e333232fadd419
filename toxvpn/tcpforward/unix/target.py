"""Connects a peer to a Unix socket of this machine that a rule names.

Whoever no rule allows to reach a path is refused before any file is looked at, and so learns nothing of what
exists. Links of other users in a path that is allowed are not followed (place.py).
"""

import asyncio
import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterator

from ...wire.socks5 import ReplyCode
from ..rules import Rules
from ..target import CODES, TIMEOUT_S, TargetRefusedError
from .paths import from_host
from .place import open_place

FULL_S = 0.02
"""Between two tries while the target's queue of connections is full, of which nothing tells the end."""
_CODES = CODES | dict.fromkeys(
    (errno.ENOENT, errno.ENOTDIR, errno.ENOTSOCK, errno.EPROTOTYPE, errno.ELOOP), ReplyCode.CONNECTION_REFUSED
)


async def connect_unix(host_untrusted: str, rules: Rules, *, timeout_s: float = TIMEOUT_S) -> socket.socket:
    """Connects a peer that the rules are for. See connect_path."""
    try:
        path = from_host(host_untrusted)
    except ValueError as error:
        raise TargetRefusedError(ReplyCode.NOT_ALLOWED, f"{host_untrusted!r}: {error}") from None
    if not rules.allows_path(path):
        text = f'{path}: no rule names it; allow = ["unix:{path}"] does'
        raise TargetRefusedError(ReplyCode.NOT_ALLOWED, text)
    return await connect_path(path, timeout_s=timeout_s)


async def connect_path(path: str, *, timeout_s: float = TIMEOUT_S) -> socket.socket:
    """A connected, non-blocking stream socket. Raises TargetRefusedError within `timeout_s`."""
    try:
        async with asyncio.timeout(timeout_s):
            return await _connect(path)
    except TimeoutError:
        text = f"{path}: it has accepted no connection in {timeout_s:g} s"
        raise TargetRefusedError(ReplyCode.TIMED_OUT, text) from None
    except OSError as failure:
        code = _CODES.get(failure.errno or 0, ReplyCode.GENERAL_FAILURE)
        raise TargetRefusedError(code, f"{path}: {_explain(failure)}") from None


async def _connect(path: str) -> socket.socket:
    """Waits for a place in its queue. Raises OSError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        with _found(path) as address:
            while not _connected(sock, address):
                await asyncio.sleep(FULL_S)
    except BaseException:
        sock.close()
        raise
    return sock


def _connected(sock: socket.socket, address: str) -> bool:
    """Whether it is connected at once, as a Unix socket is unless the queue is full. Raises OSError."""
    try:
        sock.connect(address)
    except BlockingIOError:
        return False
    return True


def _explain(failure: OSError) -> str:
    if failure.errno == errno.EACCES:
        return f"permission denied: toxvpn runs as user {os.geteuid()} here, who may not connect to it"
    return failure.strerror or str(failure)


@contextlib.contextmanager
def _found(path: str) -> Iterator[str]:
    """An address for connecting to the socket at `path`, valid inside the `with`. Raises OSError."""
    descriptor = open_place(path)
    try:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            raise OSError(errno.ENOTSOCK, "it is not a socket")
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
