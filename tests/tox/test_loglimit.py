import logging

import pytest

from toxvpn.tox.loglimit import AT_ONCE, LogLimit
from toxvpn.tox.peer import Peer

log = logging.getLogger("toxvpn.test")


def test_so_many_at_once_then_one_a_minute_that_counts_the_rest(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    limit = LogLimit(now=lambda: now[0])
    for number in range(AT_ONCE + 3):
        limit.log(log, logging.WARNING, "line %d of %s", number, "100%")
    assert caplog.messages == [f"line {number} of 100%" for number in range(AT_ONCE)]
    now[0] = 59.9
    limit.log(log, logging.WARNING, "too early")
    now[0] = 60.1
    limit.log(log, logging.WARNING, "the %s", "next")
    assert caplog.messages[AT_ONCE:] == ["the next (4 other lines left out)"]
    now[0] = 121.0
    limit.log(log, logging.WARNING, "and the one after it")
    assert caplog.messages[AT_ONCE + 1 :] == ["and the one after it"]


def test_what_is_left_out_is_there_for_who_debugs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    limit = LogLimit(1)
    for number in range(2):
        limit.log(log, logging.WARNING, "line %d", number)
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, "line 0"),
        (logging.DEBUG, "line 1"),
    ]


def test_a_line_about_a_peer_names_it(caplog: pytest.LogCaptureFixture) -> None:
    Peer(1, bytes(32)).log(log, logging.WARNING, "%s", "words")
    assert caplog.messages == ["peer 00000000: words"]
