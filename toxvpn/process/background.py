"""`-z`: a child process does the work, and the process that the user started waits until the child serves.

The child keeps the terminal until then, so that its errors are seen, and its exit code becomes the parent's.
Call this before there are threads, an event loop or locks (a child inherits the lock on the identity).
"""

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

from ..errors import ToxvpnError

OnReady = Callable[[], None]


def in_background(work: Callable[[OnReady], int]) -> int:
    """In the child: runs `work(on_ready)` and returns its exit code, or raises what it raises.

    In the parent: 0 as soon as the child has called `on_ready`, else the exit code that the child ended with.
    """
    reader, writer = os.pipe()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # until the parent knows the child
    child = os.fork()
    if child:
        os.close(writer)
        return _wait(child, reader, mask)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    os.close(reader)
    os.setsid()
    os.chdir("/")  # so that no file system is kept from being unmounted
    _close_inherited()
    return work(lambda: _release_terminal(writer))


def _wait(child: int, reader: int, mask: set[int | signal.Signals]) -> int:
    with os.fdopen(reader, "rb") as pipe:
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            if pipe.read(1):
                return 0
        except KeyboardInterrupt:
            os.kill(child, signal.SIGTERM)
            os.waitpid(child, 0)
            raise
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code if code >= 0 else 128 - code


def _release_terminal(writer: int) -> None:
    """Lets the parent end, and gives up its terminal. Raises ToxvpnError when the parent is gone."""
    nothing = os.open(os.devnull, os.O_RDWR)
    with contextlib.ExitStack() as undo:
        undo.callback(os.close, nothing)
        undo.callback(os.close, writer)
        try:
            os.write(writer, b"\0")
        except BrokenPipeError:
            raise ToxvpnError("the process that started this one has ended, so this one stops too") from None
        for standard in (0, 1, 2):
            os.dup2(nothing, standard)


def _close_inherited() -> None:
    """Closes what the caller's shell had open; all our own descriptors are closed on exec."""
    for link in Path("/proc/self/fd").iterdir():
        descriptor = int(link.name)
        with contextlib.suppress(OSError):  # the one that listed them
            if descriptor > 2 and os.get_inheritable(descriptor):
                os.close(descriptor)
