"""For all tests: which are tried again, what a skipped one means on CI, and the same start wherever they run.

The start: out of a chroot, where the kernel gives nobody a user namespace, and without ignored signals.
"""

import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import HealthCheck, settings

from toxvpn.testing.chroot import leave_chroot

ON_CI = os.environ.get("CI", "").lower() in {"1", "true", "yes"}
_skipped: list[str] = []

# how long an example takes, and to make one, depends on what else the machine does
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_configure() -> None:
    os.environ.setdefault("TOXVPN_PORT_MAPPING", "off")  # no test asks this machine's own router
    if os.geteuid() == 0:
        leave_chroot()
    survive_ignored_signals()


def survive_ignored_signals() -> None:
    """Catch, and do nothing about, the signals that this process was started to ignore, as by nohup or `&`.

    An ignored signal is ignored in every program that a test starts too; a caught one has its default action
    there (execve(2)).
    """
    for number in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}:  # these Python itself ignores
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, do_nothing)


def do_nothing(number: int, frame: FrameType | None) -> None:
    """Handle a signal."""


@pytest.hookimpl(trylast=True)  # the marks of other conftests come first
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Have what is marked `real` tried once more when it fails (pdb wants the first failure).

    Files with such tests run first: they take longest, and no process shall wait for another one at the end.
    """
    slow = {item.path for item in items if item.get_closest_marker("real")}
    items.sort(key=lambda item: item.path not in slow)
    if not config.pluginmanager.hasplugin("rerunfailures") or config.getoption("usepdb"):
        return
    for item in items:
        if item.get_closest_marker("real"):
            item.add_marker(pytest.mark.flaky(reruns=1))


def pytest_collection_finish() -> None:
    """Have a collection of garbage, which hundreds of tests do, look at what came after this alone."""
    gc.collect()
    gc.freeze()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        _skipped.append(f"{report.nodeid}: {report.longrepr}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if ON_CI and _skipped and session.exitstatus == 0:
        sys.stderr.write("\n  ".join(["\nskipped on CI, where nothing may be:", *_skipped]) + "\n")
        session.exitstatus = 1


def open_descriptors() -> dict[str, str]:
    folder = Path("/proc/self/fd")
    return {fd.name: str(fd.readlink()) for fd in folder.iterdir() if fd.is_symlink()}


@pytest.fixture
def no_descriptor_is_left() -> Iterator[None]:
    """Ask for it before anything that opens descriptors: pytest closes the last one first."""
    gc.collect()
    before = open_descriptors()
    yield
    gc.collect()
    after = open_descriptors()
    assert len(after) == len(before), {fd: what for fd, what in after.items() if before.get(fd) != what}
