"""Runs a daemon's coroutine until it ends or a signal ends it."""

import asyncio
import logging
import signal
from collections.abc import Coroutine
from typing import Any

from .._native import netio

log = logging.getLogger("toxvpn")


def run(work: Coroutine[Any, Any, None]) -> int:
    """The exit code: 0 when `work` ends by itself, 128 + n when signal n cancelled it."""
    netio.harden()  # keys are in this memory: no core dumps, no tracing by others
    return asyncio.run(_until_signal(work))


async def _until_signal(work: Coroutine[Any, Any, None]) -> int:
    task = asyncio.create_task(work)
    loop = asyncio.get_running_loop()
    caught: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        caught.append(number)
        task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop, number)
    try:
        await task
    except asyncio.CancelledError:
        if not caught:
            raise
        log.info("stopped by %s", caught[0].name)
        return 128 + caught[0]
    return 0
