"""Runs a trial in this process, and removes all that it made, however it ends."""

import asyncio
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path

from ..tox.loop import Loop
from .machines import Machines
from .steps import Story, Trial

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_trial(machines: Machines, story: Story, show: Callable[[str, str], None]) -> int:
    """The exit code: 0, or 128 + n when signal n ended it. Raises ToxvpnError."""
    with tempfile.TemporaryDirectory(prefix="toxvpn-try-") as directory:
        trial = Trial(machines, Path(directory), story, show)
        with asyncio.Runner(loop_factory=Loop) as runner:
            return runner.run(_until_signal(trial))


async def _until_signal(trial: Trial) -> int:
    loop = asyncio.get_running_loop()
    task = loop.create_task(trial.go())
    caught: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        if not caught:  # the first one: cleaning up is not to be interrupted
            caught.append(number)
            task.cancel()

    for number in SIGNALS:
        loop.add_signal_handler(number, stop, number)
    try:
        await task
    except asyncio.CancelledError:
        if not caught:
            raise
        return 128 + caught[0]
    return 0
