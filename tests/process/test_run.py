"""The exit code of a run, and what signals do to it."""

import asyncio
import gc
import os
import resource
import signal

import pytest

from toxvpn._native.net import netio
from toxvpn.config.flags import DaemonOptions
from toxvpn.errors import ToxvpnError
from toxvpn.process import run as run_module
from toxvpn.process.lifecycle import Lifecycle
from toxvpn.process.run import run
from toxvpn.testing.options import server_options

OPTIONS = server_options()


@pytest.fixture(autouse=True)
def _not_hardened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netio, "harden", lambda: None)  # this process is also the tests'


async def for_ever() -> None:
    await asyncio.Event().wait()


def test_work_that_ends_is_success() -> None:
    async def work(options: DaemonOptions, lifecycle: Lifecycle) -> None:
        assert options == OPTIONS

    assert run(work, OPTIONS) == 0


@pytest.mark.parametrize(
    ("before", "allowed"), [((1024, 4096), 4096), ((1024, 1 << 20), 65_536), ((1 << 18, 1 << 20), 1 << 18)]
)
def test_there_are_descriptors_for_many_streams(
    before: tuple[int, int], allowed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as the hard limit allows, and never fewer than there were."""
    limits = {resource.RLIMIT_NOFILE: before}
    monkeypatch.setattr(resource, "getrlimit", limits.get)
    monkeypatch.setattr(resource, "setrlimit", limits.__setitem__)

    async def work(options: DaemonOptions, lifecycle: Lifecycle) -> None:
        assert limits == {resource.RLIMIT_NOFILE: (allowed, before[1])}

    assert run(work, OPTIONS) == 0


def test_a_failure_is_the_callers() -> None:
    async def work(options: DaemonOptions, lifecycle: Lifecycle) -> None:
        raise ToxvpnError("of the test")

    with pytest.raises(ToxvpnError, match="of the test"):
        run(work, OPTIONS)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_work_which_may_tidy_up(number: signal.Signals) -> None:
    tidied = False

    async def work(options: DaemonOptions, lifecycle: Lifecycle) -> None:
        nonlocal tidied
        os.kill(os.getpid(), number)
        try:
            await for_ever()
        finally:
            await asyncio.sleep(0)
            tidied = True

    assert run(work, OPTIONS) == 128 + number
    assert tidied


def test_a_second_signal_does_not_hide_the_first() -> None:
    async def work(options: DaemonOptions, lifecycle: Lifecycle) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            await for_ever()
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.wait_for(for_ever(), 10)

    assert run(work, OPTIONS) == 128 + signal.SIGTERM


@pytest.mark.parametrize("terminal", [True, False])
def test_without_its_terminal_it_ends_and_otherwise_reloads(
    monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    reloaded = asyncio.Event()
    monkeypatch.setattr(run_module, "has_terminal", lambda: terminal)

    async def work(options: DaemonOptions, lifecycle: Lifecycle) -> None:
        def reload() -> list[str]:
            reloaded.set()
            return []

        lifecycle.on_reload(reload)
        os.kill(os.getpid(), signal.SIGHUP)
        monkeypatch.setattr(run_module, "has_terminal", lambda: False)  # it is closed
        async with asyncio.timeout(10):
            await reloaded.wait()

    if terminal:
        assert run(work, OPTIONS) == 128 + signal.SIGHUP
        assert not reloaded.is_set()
    else:
        assert run(work, OPTIONS) == 0


def test_nohup_is_respected() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:

        async def work(options: DaemonOptions, lifecycle: Lifecycle) -> None:
            os.kill(os.getpid(), signal.SIGHUP)
            await asyncio.sleep(0)

        assert run(work, OPTIONS) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_what_fails_in_the_loop_is_told_to_our_log(caplog: pytest.LogCaptureFixture) -> None:
    async def unheeded() -> None:
        raise RuntimeError("in a task")

    async def work(options: DaemonOptions, lifecycle: Lifecycle) -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(int, "in a callback")
        task = loop.create_task(unheeded())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        del task
        gc.collect()

    assert run(work, OPTIONS) == 0
    assert {record.name.partition(".")[0] for record in caplog.records} == {"toxvpn"}
    assert "in a task" in caplog.text and "in a callback" in caplog.text
