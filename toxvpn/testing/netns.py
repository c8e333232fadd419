"""Run a function in a fresh network namespace, or as an ordinary user, in a child process. Needs root."""

import os
import pickle
import signal
import stat
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ..linux import CLONE_NEWNET, CLONE_NEWNS, mount, setns, unshare

MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000  # mount(2)

T = TypeVar("T")

SOMEBODY = 12_345
"""The ID of an ordinary user, who is not the one that IDs without a mapping are shown as (65534)."""


def have_namespaces() -> bool:
    """Whether this process may make network namespaces and TUN devices."""
    return os.geteuid() == 0 and os.path.exists("/dev/net/tun")  # noqa: PTH110


def enter_new_netns() -> None:
    """Move the calling thread, and what it starts from now on, into a network namespace of its own."""
    unshare(CLONE_NEWNET)


def enter_netns(descriptor: int) -> None:
    """Move the calling thread into the namespace that `descriptor` (of /proc/…/ns/net) refers to."""
    setns(descriptor, CLONE_NEWNET)


def fork() -> int:
    """os.fork() for tests: the child must end in os._exit()."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the test runner's threads stay behind
        return os.fork()


def in_new_netns(function: Callable[[], T]) -> T:
    """Return the result of `function()`, run in a child process in a namespace without any interface up."""
    return in_child(enter_new_netns, function)


def as_somebody(function: Callable[[], T]) -> T:
    """Return the result of `function()`, run in a child process of an ordinary user."""
    return in_child(become_somebody, function)


def become_somebody() -> None:
    """That user can run this interpreter, also where it lies in a directory of root's alone."""
    show_hidden(Path(sys.executable))
    os.setgroups([])
    os.setresgid(SOMEBODY, SOMEBODY, SOMEBODY)
    os.setresuid(SOMEBODY, SOMEBODY, SOMEBODY)


def show_hidden(path: Path) -> None:
    """Lets everybody search the directories above `path`, in a mount namespace of this process's own."""
    hidden = next((each for each in reversed(path.parents) if not each.stat().st_mode & stat.S_IXOTH), None)
    if hidden is None:
        return
    unshare(CLONE_NEWNS)
    mount("none", "/", flags=MS_REC | MS_PRIVATE)
    below = hidden / path.relative_to(hidden).parts[0]
    descriptor = os.open(below, os.O_PATH)  # it stays reachable by that when it is covered
    mount("tmpfs", str(hidden), "tmpfs", data="mode=755")
    below.mkdir()
    mount(f"/proc/self/fd/{descriptor}", str(below), flags=MS_BIND | MS_REC)
    os.close(descriptor)


def in_child(prepare: Callable[[], None], function: Callable[[], T]) -> T:
    """Return the result of `function()`, run in a child process that has called `prepare()`; it is reaped.

    The result must be picklable. An exception there is an AssertionError here, with its traceback.
    """
    receive, send = os.pipe()
    child = fork()
    if child == 0:
        os.close(receive)
        try:
            prepare()
            outcome: tuple[bool, object] = (True, function())
        except BaseException:
            outcome = (False, traceback.format_exc())
        with open(send, "wb") as pipe:  # noqa: PTH123
            pickle.dump(outcome, pipe)
        os._exit(0)
    os.close(send)
    try:
        with open(receive, "rb") as pipe:  # noqa: PTH123
            data = pipe.read()
    except BaseException:
        os.kill(child, signal.SIGKILL)
        raise
    finally:
        os.waitpid(child, 0)
    succeeded, value = pickle.loads(data)
    if not succeeded:
        raise AssertionError(f"in the child:\n{value}")
    return value  # type: ignore[no-any-return]
