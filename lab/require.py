"""Checks that the machine has what a lab needs. If not, tests are skipped, and fail with CI=true."""

import os
import shutil

import pytest

from .namespace import can_make_namespaces

BASIC = ("nft", "ping", "tox-bootstrapd")


def require(*programs: str) -> None:
    """Skip or fail the calling test or fixture unless the lab works here and these programs are installed."""
    if reason := missing(*programs):
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason}, and with CI=true that is an error", pytrace=False)
        pytest.skip(reason)


def missing(*programs: str) -> str | None:
    """The reason why a lab that also needs these programs cannot run here; None if it can."""
    if os.geteuid() != 0:
        return "the network lab needs root"
    if absent := [program for program in (*BASIC, *programs) if not shutil.which(program)]:
        return f"the network lab needs {', '.join(absent)}, not installed here"
    if problem := can_make_namespaces():
        return f"the network lab needs network namespaces: {problem}"
    return None
