"""A failure is told, not raised; and not told without end."""

import logging

import pytest

from toxvpn.tox.loglimit import AT_ONCE
from toxvpn.tox.safecall import SafeCall


def fail(text: str) -> None:
    raise RuntimeError(text)


def test_what_fails_is_told_with_its_place(caplog: pytest.LogCaptureFixture) -> None:
    SafeCall()(fail, "of the test")
    assert caplog.messages == ["an event could not be handled"]
    assert "RuntimeError: of the test" in caplog.text and "in fail" in caplog.text


def test_what_fails_at_every_turn_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    safe_call = SafeCall()
    caplog.set_level(logging.INFO)
    for _ in range(10 * AT_ONCE):
        safe_call(fail, "of the test")
    assert len(caplog.messages) == AT_ONCE


def test_who_is_to_end_ends() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SafeCall()(interrupted)
