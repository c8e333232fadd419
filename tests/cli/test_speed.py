"""`toxvpn speed`: what it asks for, and what a person and a script see."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from toxvpn.cli import speed as module
from toxvpn.cli.speed import short_name
from toxvpn.cli.speedtext import bloat, live, loss, rate, share, text
from toxvpn.config.options import ClientOptions
from toxvpn.errors import PeerRefusedError
from toxvpn.tcpforward.spec import RoadPolicy
from toxvpn.testing.fake_daemon import FakeDaemon
from toxvpn.testing.fake_status import ALICE
from toxvpn.wire.toxid import ToxId

SERVER = ToxId(bytes(range(32)), b"\1\2\3\4")

RESULT: dict[str, Any] = {
    "schema": 1,
    "public_key": "A0" * 32,
    "path": "udp",
    "address": "203.0.113.5:33445",
    "path_changed": False,
    "road": "fast",
    "road_reason": "both sides have it",
    "idle": {"rtt_p50_seconds": 0.0004, "rtt_worst_seconds": 0.001, "rtt_answers": 20},
    "down": {"bits_per_second": 812_300_000, "bytes": 5, "seconds": 5.0, "rtt_p50_seconds": 0.0034,
             "rtt_worst_seconds": 0.012, "rtt_answers": 40, "tcp_segments": 40_000, "tcp_segments_resent": 8},
    "up": {"bits_per_second": 64_510_000, "bytes": 5, "seconds": 5.0, "rtt_p50_seconds": 0.0204,
           "rtt_worst_seconds": 0.05, "rtt_answers": 40, "tcp_segments": 3_000, "tcp_segments_resent": 0},
    "probe_loss": 0.0,
}  # fmt: skip


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[ClientOptions]:
    """The options of each run that is started, which tells RESULT."""
    kept: list[ClientOptions] = []

    def start(options: ClientOptions) -> int:
        kept.append(options)
        assert options.speed is not None
        options.speed.tell({"phase": "idle"})
        options.speed.tell({"phase": "done", "result": RESULT})
        return 0

    monkeypatch.setattr(module, "start", start)
    return kept


def test_a_tox_id_is_called_as_by_a_client(toxvpn: Any, here: Path, started: list[ClientOptions]) -> None:
    ran = toxvpn("speed", str(SERVER), "-C", here, "--time", "3", "--road", "fast", "--no-share")
    assert (ran.code, ran.err) == (0, "")
    [options] = started
    assert options.speed is not None and options.speed.seconds == 3
    assert (options.server, options.road, options.share) == (SERVER, RoadPolicy.FAST, False)


def test_the_result_for_a_person(toxvpn: Any, here: Path, started: list[ClientOptions]) -> None:
    ran = toxvpn("speed", str(SERVER), "-C", here)
    assert ran.out.splitlines() == [
        "00010203: direct (203.0.113.5:33445), by the fast road",
        "idle  round trip 0.40 ms, at worst 1.00 ms",
        "down  812 Mbit/s, round trip 3.40 ms, at worst 12.00 ms",
        "up    64.5 Mbit/s, round trip 20.40 ms, at worst 50.00 ms",
        "under load a round trip takes 20.00 ms longer: little bufferbloat: calls and games do not notice",
        "loss  none of the latest probes of the path; sent again by TCP: 0.02 % down, none up",
    ]


def test_the_result_for_a_script(toxvpn: Any, here: Path, started: list[ClientOptions]) -> None:
    ran = toxvpn("speed", str(SERVER), "-C", here, "--json")
    assert json.loads(ran.out) == RESULT


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_refusal_is_4(toxvpn: Any, here: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str]) -> None:
    def refuse(_: ClientOptions) -> int:
        raise PeerRefusedError("the peer does not let this machine test its speed")

    monkeypatch.setattr(module, "start", refuse)
    ran = toxvpn("speed", str(SERVER), "-C", here, *flags)
    assert ran.code == 4 and ran.err == "toxvpn: the peer does not let this machine test its speed\n"
    if flags:
        error = {"text": "the peer does not let this machine test its speed", "exit_code": 4}
        assert json.loads(ran.out) == {"schema": 1, "error": error}


@pytest.mark.parametrize("peer", ["alice", "ALICE", ALICE.hex(), "100.64.7.2"])
def test_a_peer_of_the_running_toxvpn_needs_no_tox_id(
    toxvpn: Any, here: Path, started: list[ClientOptions], peer: str
) -> None:
    with FakeDaemon(here):
        ran = toxvpn("speed", peer, "-C", here)
    assert (ran.code, ran.err) == (0, "")
    assert started[0].server.public_key == ALICE and started[0].secret is None


def test_a_peer_that_is_offline_is_5_at_once(toxvpn: Any, here: Path, started: list[ClientOptions]) -> None:
    with FakeDaemon(here):
        ran = toxvpn("speed", "0000", "-C", here)
    assert (ran.code, ran.err, started) == (5, "toxvpn: 00000000 is offline\n", [])


def test_nobody_of_that_name_is_4(toxvpn: Any, here: Path, started: list[ClientOptions]) -> None:
    assert toxvpn("speed", "dave", "-C", here).code == 4
    with FakeDaemon(here):
        assert toxvpn("speed", "dave", "-C", here).code == 4


@pytest.mark.parametrize("flags", [["--time", "0"], ["--time", "61"], ["--road", "slow"]])
def test_mistakes(toxvpn: Any, here: Path, flags: list[str]) -> None:
    ran = toxvpn("speed", *flags, str(SERVER), "-C", here)
    assert ran.code == 2 and ran.err.count("\n") == 1


def with_load(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(json.dumps(RESULT))
    change(result)
    return result


@pytest.mark.parametrize(
    ("rtt_s", "words"),
    [(0.0001, "hardly any"), (0.01, "little"), (0.05, "some"), (0.2, "much"), (3.0, "heavy")],
)
def test_bufferbloat_has_words(rtt_s: float, words: str) -> None:
    result = with_load(lambda made: made["up"].update(rtt_p50_seconds=0.0034 + rtt_s))
    assert f": {words} bufferbloat" in bloat(result)


def test_no_answer_under_load_is_told() -> None:
    result = with_load(lambda made: [made[way].update(rtt_p50_seconds=None) for way in ("down", "up")])
    assert "very heavy bufferbloat" in bloat(result)
    assert "no round trip was finished" in text(result, "box")


def test_a_slow_road_says_why() -> None:
    result = with_load(lambda made: made.update(road="tuntox", road_reason="no\x1b[2J TUN"))
    lines = text(result, "box").splitlines()
    assert lines[0] == "box: direct (203.0.113.5:33445), by the tuntox road (no\ufffd[2J TUN)"
    assert lines[-1].startswith("the tuntox road is slow")
    chosen = with_load(lambda made: made.update(road="tuntox", road_reason="--road tuntox"))
    assert "is slow" not in text(chosen, "box")


def test_a_relay_and_a_change_of_the_path_are_told() -> None:
    relayed = text(with_load(lambda made: made.update(path="tcp-relay", address=None)), "box")
    assert relayed.startswith("box: tcp-relay, by the fast road\n") and "a relay is slow" in relayed
    assert "run it again" in text(with_load(lambda made: made.update(path_changed=True)), "box")


def test_unknown_loss_is_told_as_such() -> None:
    none = {"tcp_segments": None, "tcp_segments_resent": None}
    result = with_load(lambda made: [made[way].update(none) for way in ("down", "up")])
    assert loss(result) == "loss  none of the latest probes of the path"
    assert loss({**result, "probe_loss": None}) == "loss  not known on this road"
    parts = [share(part) for part in (0, 0.00001, 0.0123, 1.0)]
    assert parts == ["none", "less than 0.01 %", "1.23 %", "100 %"]


def test_rates_have_three_digits() -> None:
    found = [rate(each) for each in (0, 1_234, 9_994_000, 10_000_000, 99_960_000, 2_345_600_000)]
    assert found == [f"{each} Mbit/s" for each in ("0.00", "0.00", "9.99", "10.0", "100", "2346")]


@pytest.mark.parametrize("phase", ["connecting", "relayed", "idle", "down", "up"])
def test_the_live_line_names_the_peer(phase: str) -> None:
    line = live({"phase": phase, "bits_per_second": 5_000_000}, "box")
    assert "box" in line and (phase not in ("down", "up") or "5.00 Mbit/s" in line)


def test_keys_are_shown_short_and_invites_not_at_all() -> None:
    assert short_name(str(SERVER)) == "00010203"
    assert short_name("box") == "box"
