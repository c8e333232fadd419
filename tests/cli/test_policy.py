from pathlib import Path
from typing import Any

import pytest

from toxvpn.testing.fake_daemon import FakeDaemon


@pytest.mark.parametrize(
    ("allowed", "code", "says"),
    [(True, 0, "box may reach tcp/22: "), (False, 4, "box may not reach tcp/22: ")],
)
def test_it_tells_and_exits_by_what_would_happen(
    toxvpn: Any, here: Path, allowed: bool, code: int, says: str
) -> None:
    why = "by the rule 'localhost:22'" if allowed else "no rule of its `allow` is for that: icmp"
    with FakeDaemon(here, {"policy": {"peer": "box", "allowed": allowed, "why": why}}) as daemon:
        ran = toxvpn("policy", "box", "tcp/22", "-C", here)
        assert dict(daemon.asked[0].arguments) == {"peer": "box", "target": "tcp/22"}
    assert (ran.code, ran.out, ran.err) == (code, says + why + "\n", "")


def test_it_asks_a_running_one(toxvpn: Any, here: Path) -> None:
    assert toxvpn("policy", "box", "tcp/22", "-C", here).code == 3
