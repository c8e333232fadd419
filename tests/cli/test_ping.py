from pathlib import Path
from typing import Any

import pytest

from toxvpn.errors import PeerOfflineError
from toxvpn.testing.fake_daemon import FakeDaemon
from toxvpn.testing.fake_status import BOB
from toxvpn.wire.addressing import overlay_ipv6


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toxvpn.cli.ping.INTERVAL_S", 0.0)


def test_each_answer_is_a_line(toxvpn: Any, here: Path) -> None:
    with FakeDaemon(here) as daemon:
        daemon.pings = [0.00042, PeerOfflineError("gone"), 0.1]
        ran = toxvpn("ping", "alice", "-c", "3", "-C", here)
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "pong from alice (100.64.7.2) via direct in 0.42 ms",
        "pong from alice (100.64.7.2) via direct in 100.00 ms",
    ]
    assert ran.err == "gone\n"


@pytest.mark.parametrize("peer", ["bob", "CACA", str(overlay_ipv6(BOB)), BOB.hex()])
def test_the_peer_can_be_named_in_many_ways(toxvpn: Any, here: Path, peer: str) -> None:
    with FakeDaemon(here) as daemon:
        daemon.pings = [0.05]
        ran = toxvpn("-C", here, "ping", peer, "-c", "1")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "pong from bob (fd74:6f78::3) via tcp-relay in 50.00 ms\n"


def test_direct_stops_at_the_first_direct_answer(toxvpn: Any, here: Path) -> None:
    with FakeDaemon(here) as daemon:
        daemon.pings = [0.001, 0.001]
        ran = toxvpn("ping", "alice", "--direct", "-C", here)
        assert (ran.code, ran.out.count("\n"), len(daemon.pings)) == (0, 1, 1)


def test_relayed_only_is_6_with_direct(toxvpn: Any, here: Path) -> None:
    with FakeDaemon(here) as daemon:
        daemon.pings = [0.05] * 4
        ran = toxvpn("ping", "bob", "--direct", "-C", here)
    assert (ran.code, ran.out.count("\n")) == (6, 4)
    assert ran.err == "toxvpn: bob answered, but only over a relay\n"


def test_no_answer_is_5(toxvpn: Any, here: Path) -> None:
    with FakeDaemon(here) as daemon:
        daemon.pings = [PeerOfflineError("no answer from alice in time")] * 2
        ran = toxvpn("ping", "alice", "-c", "2", "-C", here)
        assert (ran.code, ran.out) == (5, "")
        assert ran.err.splitlines() == [
            "no answer from alice in time",
            "toxvpn: no answer from alice in time",
        ]
        ran = toxvpn("ping", "0000", "-c", "1", "-C", here)
        assert (ran.code, ran.err) == (5, "toxvpn: 00000000 is offline\n")


def test_nobody_of_that_name_is_4_at_once(toxvpn: Any, here: Path) -> None:
    with FakeDaemon(here):
        ran = toxvpn("ping", "dave", "-C", here)
    assert ran.code == 4 and "'dave'" in ran.err


def test_not_running_is_3(toxvpn: Any, here: Path) -> None:
    assert toxvpn("ping", "alice", "-C", here).code == 3


@pytest.mark.parametrize("flags", [["-c", "0"], ["--timeout", "0"], ["-c", "many"], []])
def test_mistakes(toxvpn: Any, here: Path, flags: list[str]) -> None:
    ran = toxvpn("ping", *flags, *(["alice"] if flags else []), "-C", here)
    assert ran.code == 2 and ran.err.count("\n") == 1
