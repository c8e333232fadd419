"""Where records go, and in which form."""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any, TextIO

import pytest

from toxvpn.cli import logs

log = logging.getLogger("toxvpn.part")


@pytest.fixture(autouse=True)
def _afterwards() -> Iterator[None]:
    yield
    logs.set_up()


@pytest.fixture
def stderr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TextIO]:
    """A file to redirect stderr to; the journal's stream is one."""
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    with tmp_path.joinpath("stderr").open("w") as file:
        yield file


def said(file: TextIO) -> str:
    file.flush()
    return Path(file.name).read_text()


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({}, "INFO: i\nWARNING: w\nERROR: e\n"),
        ({"level": logging.WARNING}, "WARNING: w\nERROR: e\n"),
        ({"quiet": True}, "ERROR: e\n"),
    ],
)
def test_levels(stderr: TextIO, how: dict[str, Any], expected: str) -> None:
    with redirect_stderr(stderr):
        logs.set_up(**how)
        speak()
    assert said(stderr) == expected


def speak() -> None:
    log.debug("d")
    log.info("i")
    log.warning("w")
    log.error("e")


def test_debugging_tells_when_and_who(stderr: TextIO) -> None:
    with redirect_stderr(stderr):
        logs.set_up(debug=1)
        speak()
    first, *others = said(stderr).splitlines()
    assert first.endswith(" DEBUG toxvpn.part: d") and len(others) == 3


def test_the_journal_gets_levels_of_its_own(stderr: TextIO, monkeypatch: pytest.MonkeyPatch) -> None:
    found = os.fstat(stderr.fileno())
    monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
    with redirect_stderr(stderr):
        logs.set_up(debug=1)
        speak()
        log.error("two\nlines")
        logs.print_error("the end")
    assert said(stderr).splitlines() == [
        "<7>toxvpn.part: d",
        "<6>toxvpn.part: i",
        "<4>toxvpn.part: w",
        "<3>toxvpn.part: e",
        "<3>toxvpn.part: two",
        "<3>lines",
        "<3>toxvpn: the end",
    ]


def test_a_stream_that_was_redirected_is_not_the_journal(
    stderr: TextIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "1:2")
    with redirect_stderr(stderr):
        logs.set_up()
        log.info("i")
    assert said(stderr) == "INFO: i\n"


def test_a_syslog_that_does_not_listen_holds_nobody_up(syslog: Any) -> None:
    logs.set_up(syslog=True)
    for _ in range(2000):  # more than the socket takes
        log.info("x" * 500)
    assert 0 < len(syslog.records()) < 2000


def test_a_syslog_that_was_started_anew_is_found(syslog: Any) -> None:
    logs.set_up(syslog=True)
    path = syslog.server.getsockname()
    syslog.server.close()
    log.info("lost")
    Path(path).unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(path)
        server.setblocking(False)
        log.info("found")
        assert server.recv(100) == b"<30>toxvpn[%d]: found" % os.getpid()
