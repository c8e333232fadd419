"""`-z`: goes on in a child process, while the one that was started waits until the child serves.

The child keeps the terminal until then, so its errors are seen; its exit code becomes the starter's. Only
then it lets go of the terminal. To be called before there are threads, a loop or locks (an identity's
lock is held by whoever inherits it).
"""

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

from ..errors import ToxvpnError

Ready = Callable[[], None]


def in_background(work: Callable[[Ready], int]) -> int:
    """In the child: `work(ready)`, and what it returns or raises. In the starter: the exit code.

    That is 0 as soon as the child has called `ready`, else what the child ended with.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(writer)
        return _wait(child, reader)
    os.close(reader)
    os.setsid()
    os.chdir("/")  # so that no file system is kept from being unmounted
    _close_inherited()
    return work(lambda: _ready(writer))


def _wait(child: int, reader: int) -> int:
    with os.fdopen(reader, "rb") as pipe:
        try:
            if pipe.read(1):
                return 0
        except KeyboardInterrupt:
            os.kill(child, signal.SIGTERM)
            os.waitpid(child, 0)
            raise
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code if code >= 0 else 128 - code


def _ready(writer: int) -> None:
    """Raises ToxvpnError when the starter was ended meanwhile."""
    nothing = os.open(os.devnull, os.O_RDWR)
    with contextlib.ExitStack() as undo:
        undo.callback(os.close, nothing)
        undo.callback(os.close, writer)
        try:
            os.write(writer, b"\0")
        except BrokenPipeError:
            raise ToxvpnError("the process that waited for this one was ended: stopping") from None
        for standard in (0, 1, 2):
            os.dup2(nothing, standard)


def _close_inherited() -> None:
    """What the caller's shell had open; our own descriptors are all closed on exec."""
    for link in Path("/proc/self/fd").iterdir():
        descriptor = int(link.name)
        with contextlib.suppress(OSError):  # the one that listed them
            if descriptor > 2 and os.get_inheritable(descriptor):
                os.close(descriptor)
