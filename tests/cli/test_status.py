"""`toxvpn status`: the JSON contract, the table for people, and the exit codes of both."""

import json
import os
import pty
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from toxvpn.cli import table
from toxvpn.cli.statustext import accept_command
from toxvpn.control import commands, compat
from toxvpn.control.status import ExitState, ShieldState
from toxvpn.testing.fake_daemon import FakeDaemon
from toxvpn.testing.fake_status import NOW, idle
from toxvpn.tun.exit import leftovers

GOLDEN = Path(__file__).parent.parent / "control" / "golden_status.json"


def test_json_is_the_document(toxvpn: Any, here: Path) -> None:
    with FakeDaemon(here):
        for arguments in (("-C", here, "status", "--json"), ("status", "--json", "-C", here)):
            ran = toxvpn(*arguments)
            assert (ran.code, ran.err) == (0, "")
            assert ran.out == GOLDEN.read_text()


OF_NOW = {*compat.TOP_LEVEL, *compat.SELF, *compat.PEER, *compat.FORWARD}


def of_version_0_1(document: Any) -> Any:
    if isinstance(document, list):
        return [of_version_0_1(each) for each in document]
    if isinstance(document, dict):
        return {key: of_version_0_1(value) for key, value in document.items() if key not in OF_NOW}
    return document


@pytest.mark.parametrize("words", [("status",), ("peer", "list")])
def test_an_older_toxvpn_may_still_run(
    toxvpn: Any, here: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    older = of_version_0_1(json.loads(GOLDEN.read_text()))
    monkeypatch.setattr(commands, "document", lambda status: older)
    with FakeDaemon(here):
        ran = toxvpn("-C", here, *words)
    assert ran.code == 0, ran.err
    assert "alice" in ran.out


def test_not_running_is_3_in_text_and_json(toxvpn: Any, here: Path) -> None:
    ran = toxvpn("status", "-C", here)
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.startswith("toxvpn: toxvpn is not running") and "toxvpn up" in ran.err
    ran = toxvpn("status", "--json", "-C", here)
    assert ran.code == 3 and ran.err.count("\n") == 1
    failed = json.loads(ran.out)
    assert (failed["schema"], failed["error"]["exit_code"]) == (1, 3)
    assert "not running" in failed["error"]["text"]


TEXT = """\
toxvpn VPN on toxvpn0 (the interface was set down: no traffic passes): 100.64.7.1 fd74:6f78::1
this machine is office.tox.internal
Tox ID A1A1A1A1A1A1A1A1A1A1A1A1A1A1A1A1A1A1A1A1A1A1A1A1A1A1A1A1A1A1A1A1000000010001, connected: over UDP
exit: bob, by which all of this machine's traffic leaves
offered to the peers: 192.168.10.0/24, fd00:10::/64
multicast: mdns, 239.1.2.3
the router passes on UDP from 203.0.113.5:40000 (PCP)
100.64.7.1 is 10.64.7.1 for bob, for that uses 100.64.0.0/10
this kernel refuses super-packets of TCP: traffic is slower
dropped: 2 no route, 1 not IP
dropped 5 datagrams that would crash libtoxcore (GHSA-42vg-9mg3-399f)

PEER     ADDRESS                   PATH             FOR         RTT  LOSS  RECEIVED  SENT  VERSION  DROPPED
alice    100.64.7.2 fd74:6f78::2   direct, MTU 1216 1 h 0 min 0.42 ms 0% 1.2 MB 89 B 1.2.3 3 queue full, 40 wrong source
bob                 fd74:6f78::3   tcp-relay        59 min            12%     0 B    0 B   1.3.0
0000000000000000                   offline, asked                             0 B    0 B
alice: may use this machine as its exit
alice: may reach tcp/localhost:22, icmp here
alice: multicast: mdns
bob: the IPv4 address it states, 10.1.2.3, is not used: it is another peer's
bob: at 10.64.7.3, for this machine uses 100.64.0.0/10 (tailscale0)
bob: it is bob-2.tox.internal, for 'bob' is another machine's
bob: routes through it: 10.0.0.0/24
bob: routes that it offers, not used here: 10.1.0.0/24
bob: the route to fd00:1::/64 is not used: eth0 has that network
0000000000000000: has not answered our request; if it does not know this machine: `toxvpn peer accept A1A1A1A1A1A1A1A1` there

LISTEN              TARGET        STREAMS  ROAD
127.0.0.1:1080      socks5        0        tuntox: --road tuntox
127.0.0.1:8080      localhost:80  2        fast: both sides have it
udp/127.0.0.1:5353  localhost:53  1        fast: both sides have it; lost datagrams: 7 no_room

ASKED TO JOIN     LAST                  TIMES  REFUSED BECAUSE
D0D0D0D0D0D0D0D0  2027-01-15T08:01:00Z  2      unknown key
to let one in:
toxvpn -C HERE peer accept D0D0D0D0D0D0D0D0
"""  # noqa: E501


def test_the_table_for_people(toxvpn: Any, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW + 3600)
    monkeypatch.delenv("SUDO_USER", raising=False)
    with FakeDaemon(here):
        ran = toxvpn("status", "-C", here)
    assert (ran.code, ran.err) == (0, "")
    expected = TEXT.replace("HERE", str(here))
    assert [line.split() for line in ran.out.splitlines()] == [line.split() for line in expected.splitlines()]


def test_root_by_sudo_is_told_to_type_that_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "me")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert accept_command("D0" * 32, None) == "sudo toxvpn peer accept D0D0D0D0D0D0D0D0"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert accept_command("D0" * 32, None) == "toxvpn peer accept D0D0D0D0D0D0D0D0"


def test_what_an_ended_run_keeps_blocked_is_told_to_root(
    toxvpn: Any, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "orphans", lambda: {"toxvpn_exit_toxvpn0"})
    for user, told in ((0, True), (1000, False)):
        monkeypatch.setattr(os, "geteuid", lambda user=user: user)
        ran = toxvpn("status", "-C", here)
        assert ran.code == 3 and ("`toxvpn down` ends that" in ran.err) is told


def test_an_exit_that_is_away_is_told(toxvpn: Any, here: Path) -> None:
    with FakeDaemon(here) as daemon:
        away = ExitState(peer=bytes([0xCC]) * 32, blocked=True)
        daemon.status = replace(idle(), own=replace(idle().own, exit=away))
        ran = toxvpn("status", "-C", here)
    assert "exit: CCCCCCCCCCCCCCCC, which cannot be reached now: nothing else leaves" in ran.out
    with FakeDaemon(here) as daemon:
        refused = replace(away, problem="it does not let us exit")
        daemon.status = replace(idle(), own=replace(idle().own, exit=refused))
        ran = toxvpn("status", "-C", here)
    assert "exit: CCCCCCCCCCCCCCCC, but nothing leaves through it: it does not let us exit" in ran.out


def test_it_is_short_when_there_is_nothing_to_tell(toxvpn: Any, here: Path) -> None:
    with FakeDaemon(here) as daemon:
        daemon.status = idle()
        ran = toxvpn("status", "-C", here)
    assert ran.out.startswith("toxvpn VPN\nTox ID A1A1") and ran.out.count("\n") == 2
    assert ran.err == ""


def test_nobody_overlooks_that_there_is_no_shield(toxvpn: Any, here: Path) -> None:
    with FakeDaemon(here) as daemon:
        shield = ShieldState(flaw="GHSA-42vg-9mg3-399f", in_force=False, dropped=0)
        daemon.status = replace(idle(), own=replace(idle().own, shield=shield))
        ran = toxvpn("status", "-C", here)
    assert "any stranger can crash this libtoxcore (GHSA-42vg-9mg3-399f): see toxvpn doctor" in ran.out


def on_a_terminal(here: Path, **environment: str) -> str:
    """What the command writes to a terminal of its own."""
    ours, theirs = pty.openpty()
    environ = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "200", **environment}
    command = [sys.executable, "-m", "toxvpn", "status", "-C", str(here)]
    try:
        with subprocess.Popen(command, stdout=theirs, stderr=subprocess.DEVNULL, env=environ) as process:
            os.close(theirs)
            printed = b""
            while True:
                try:
                    piece = os.read(ours, 65536)
                except OSError:  # EIO: the other end is closed
                    break
                printed += piece
            assert process.wait(10) == 0
    finally:
        os.close(ours)
    return printed.decode()


def test_a_terminal_gets_colours_unless_told_otherwise(here: Path) -> None:
    with FakeDaemon(here):
        assert "\x1b[32mdirect" in on_a_terminal(here)
        assert "\x1b" not in on_a_terminal(here, NO_COLOR="1")


LOADED = """
import sys
from toxvpn.cli import main
assert main.run(["status", "-C", sys.argv[1]]) == 0
print(*sys.modules, file=sys.stderr)
"""


def test_asking_loads_nothing_heavy(here: Path) -> None:
    with FakeDaemon(here):
        ran = subprocess.run([sys.executable, "-c", LOADED, here], capture_output=True, text=True, timeout=30)
    assert ran.returncode == 0
    heavy = {
        "asyncio",
        "netifaces",
        "platformdirs",
        "pyroute2",
        "rich",
        "segno",
        "toxvpn._native",
        "hypothesis",
    }
    assert heavy.isdisjoint(ran.stderr.split())


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1_234_567, "1.2 MB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (5 * 10**12, "5.0 TB"),
        (5 * 10**15, "5.0 PB"),
    ],
)
def test_sizes(count: int, text: str) -> None:
    assert table.size(count) == text
