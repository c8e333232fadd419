"""`toxvpn completion`: the scripts; that they work is tests/test_generated.py's."""

from typing import Any

import pytest

from toxvpn.cli.completion import SHELLS


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_is_printed(toxvpn: Any, shell: str) -> None:
    ran = toxvpn("completion", shell)
    assert (ran.code, ran.err) == (0, "")
    assert f"_TOXVPN_COMPLETE={shell}_complete" in ran.out


def test_another_shell_is_a_mistake(toxvpn: Any) -> None:
    ran = toxvpn("completion", "tcsh")
    assert (ran.code, ran.out) == (2, "") and "bash" in ran.err
