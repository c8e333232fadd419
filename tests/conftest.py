"""For all tests: on CI nothing may be skipped, and in a chroot there are user namespaces too."""

import os
import sys

import pytest

from toxvpn.testing.chroot import leave_chroot

ON_CI = os.environ.get("CI", "").lower() in {"1", "true", "yes"}
_skipped: list[str] = []


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
