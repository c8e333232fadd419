"""Does the work of a run in this process, or in one in the background, until it is done or a signal ends it.

In: a coroutine function, and its options. Out: an exit code. The order: pidfile, background, user; then the
event loop, in which the work goes on.
"""

import asyncio
import contextlib
import logging
import os
import resource
import signal
from collections.abc import Callable, Collection, Coroutine
from functools import partial
from typing import Any, TypeVar

from .._native.net import netio
from ..config.options import NodeOptions, with_absolute_paths
from ..linux import Capability
from ..tcpforward.fast.stack import early_helper
from ..tox.loop import Loop
from ..tox.safecall import SafeCall
from .background import in_background
from .lifecycle import Lifecycle, has_terminal
from .notify import Notifier
from .pidfile import PidFile
from .privileges import become, drop_privileges, find_account, hand_over

log = logging.getLogger("toxvpn")

DESCRIPTORS = 65_536

O = TypeVar("O", bound=NodeOptions)  # noqa: E741
Work = Callable[[O, Lifecycle], Coroutine[Any, Any, None]]


def run(work: Work[O], options: O, keep: Collection[Capability] = ()) -> int:
    """The exit code: 0 when `work` ends by itself, 128 + n when signal n cancelled it.

    `keep` is what the work needs of root's privileges once it is on the network. Raises ToxvpnError.
    """
    options = with_absolute_paths(options)  # the background has another working directory
    account = None if options.user is None else find_account(options.user)

    def run_here(on_ready: Callable[[], None]) -> int:
        with contextlib.ExitStack() as undo:
            if pid_file is not None:
                undo.callback(pid_file.close)
                pid_file.write()
            if os.geteuid() == 0 and options.has_fast_road:
                undo.enter_context(early_helper())
            if account is not None:
                if options.keeps_state:
                    hand_over(account, options.directory)
                become(account, {*keep, Capability.NET_ADMIN})
            raise_descriptor_limit()
            netio.harden()  # keys are in this memory: no core dumps, no tracing by others
            with asyncio.Runner(loop_factory=Loop) as runner:
                return runner.run(_until_signal(work, options, keep, on_ready))

    pid_file = None if options.pid_file is None else PidFile(options.pid_file)
    if not options.daemonize:
        return run_here(lambda: None)
    before = os.getpid()
    try:
        return in_background(run_here)
    finally:
        if pid_file is not None and os.getpid() == before:
            pid_file.leave()


def raise_descriptor_limit() -> None:
    """Raises the soft limit: a stream takes two descriptors, so the usual 1024 would allow 500 streams."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, DESCRIPTORS)), hard))


async def _until_signal(
    work: Work[O], options: O, keep: Collection[Capability], on_ready: Callable[[], None]
) -> int:
    loop = asyncio.get_running_loop()
    safe_call = SafeCall()  # asyncio would log to a logger that is not ours
    loop.set_exception_handler(
        lambda _, context: safe_call.log_failure(context["message"], context.get("exception"))
    )
    lifecycle = Lifecycle(
        Notifier(os.environ), on_sockets_bound=partial(drop_privileges, keep), on_ready=on_ready
    )
    task = loop.create_task(work(options, lifecycle))
    caught: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        caught.append(number)
        lifecycle.interrupted |= number is signal.SIGINT
        task.cancel()

    had_terminal = has_terminal()

    def hang_up() -> None:
        if had_terminal and not (has_terminal() and lifecycle.can_reload):
            stop(signal.SIGHUP)  # the terminal is gone
        else:
            lifecycle.reload()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup ignores it
        loop.add_signal_handler(signal.SIGHUP, hang_up)
    try:
        await task
    except asyncio.CancelledError:
        if not caught:
            raise
        log.info("stopped by %s", caught[0].name)
        return 128 + caught[0]
    finally:
        lifecycle.close()
    return 0
