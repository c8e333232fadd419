"""For all tests: on CI nothing may be skipped, and in a chroot there are user namespaces too."""

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from toxvpn.testing.chroot import leave_chroot

ON_CI = os.environ.get("CI", "").lower() in {"1", "true", "yes"}
_skipped: list[str] = []

# how long an example takes is the machine's doing, which others use too
settings.register_profile("patient", parent=settings(), deadline=None)
settings.load_profile("patient")


def pytest_configure() -> None:
    if os.geteuid() == 0:
        leave_chroot()


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
