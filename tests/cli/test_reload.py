"""`toxvpn reload`: prints what was changed, a line each, on stderr."""

from pathlib import Path
from typing import Any

import pytest

from toxvpn.errors import ConfigError
from toxvpn.testing.fake_daemon import FakeDaemon


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (["peer box added", "[server] changed"], "peer box added\n[server] changed\n"),
        ([], "nothing has changed\n"),
    ],
)
def test_what_changed(toxvpn: Any, here: Path, answer: list[str], message: str) -> None:
    with FakeDaemon(here, {"reload": answer}):
        ran = toxvpn("reload", "-C", here)
        assert (ran.code, ran.out, ran.err) == (0, "", message)
        assert toxvpn("reload", "-q", "-C", here).err == ""


def test_a_mistake_in_the_file(toxvpn: Any, here: Path) -> None:
    with FakeDaemon(here, {"reload": ConfigError("config.toml: no")}):
        ran = toxvpn("reload", "-C", here)
    assert (ran.code, ran.out, ran.err) == (78, "", "toxvpn: config.toml: no\n")


def test_a_run_that_cannot(toxvpn: Any, here: Path) -> None:
    with FakeDaemon(here):
        ran = toxvpn("reload", "-C", here)
    assert (ran.code, ran.err) == (2, "toxvpn: the running toxvpn cannot do 'reload'\n")
