"""`toxvpn metrics`: what the running toxvpn says, as it is."""

from pathlib import Path
from typing import Any

from toxvpn.testing.fake_daemon import FakeDaemon


def test_the_text_is_printed_as_it_comes(toxvpn: Any, here: Path) -> None:
    with FakeDaemon(here, {"metrics": "# HELP x\nx 1.0\n"}):
        ran = toxvpn("metrics", "-C", here)
    assert (ran.code, ran.out, ran.err) == (0, "# HELP x\nx 1.0\n", "")


def test_not_running_is_3(toxvpn: Any, here: Path) -> None:
    ran = toxvpn("-C", here, "metrics")
    assert (ran.code, ran.out) == (3, "") and "not running" in ran.err
