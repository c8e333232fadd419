"""The stages of a run: when each is reported, and the effects of a reload and of the watchdog."""

import asyncio
import subprocess
import sys
from typing import Any, cast

import pytest

from toxvpn._native.results import Connection
from toxvpn.errors import ConfigError, ToxvpnError
from toxvpn.process.lifecycle import Lifecycle, status_line
from toxvpn.process.notify import Notifier
from toxvpn.tox.events import PeerStatus, SelfConnection
from toxvpn.tox.node import Node


class RecordingNotifier(Notifier):
    """Keeps the messages to systemd."""

    def __init__(self, watchdog_s: float | None = None) -> None:
        super().__init__({})
        self.watchdog_s = watchdog_s
        self.lines: list[str] = []

    def _send(self, text: str) -> None:
        self.lines.append(text.splitlines()[0])


class OneNode:
    """As much of a node as the status line needs."""

    def __init__(self) -> None:
        self.connection = Connection.NONE
        self.peers: list[Any] = []
        self.on_event: Any = None
        self.alive = True
        self.asked_s: set[float] = set()

    def is_alive(self, within_s: float) -> bool:
        self.asked_s.add(within_s)
        return self.alive

    def __iter__(self) -> Any:
        return iter(self.peers)

    def subscribe(self, on_event: Any) -> None:
        self.on_event = on_event


async def test_ready_is_told_to_systemd_and_to_the_terminal() -> None:
    notifier, ready = RecordingNotifier(), []
    Lifecycle(notifier, on_ready=lambda: ready.append(True)).ready()
    assert (notifier.lines, ready) == (["READY=1"], [True])


async def test_the_status_line_follows_the_connections() -> None:
    notifier, node = RecordingNotifier(), OneNode()
    Lifecycle(notifier).watch(cast(Node, node))
    node.peers = [type("Peer", (), {"online": online}) for online in (True, False, True)]
    node.connection = Connection.UDP
    node.on_event(SelfConnection(Connection.UDP))
    node.on_event(SelfConnection(Connection.UDP))  # nothing new
    node.on_event(PeerStatus(node.peers[0], b""))  # nothing about a connection
    assert notifier.lines == [
        "STATUS=not in the Tox network; 0 of 0 peers online",
        "STATUS=Tox: udp; 2 of 3 peers online",
    ]
    node.connection = Connection.TCP
    assert status_line(cast(Node, node)) == "Tox: tcp-relay; 2 of 3 peers online"


async def test_a_reload_is_framed(caplog: pytest.LogCaptureFixture) -> None:
    notifier = RecordingNotifier()
    lifecycle = Lifecycle(notifier)
    before = lifecycle.can_reload
    lifecycle.on_reload(lambda: ["rules are in force"])
    assert (before, lifecycle.can_reload) == (False, True)
    with caplog.at_level("INFO"):
        lifecycle.reload()
    assert notifier.lines == ["RELOADING=1", "READY=1"]
    assert caplog.messages == ["reload: rules are in force"]


async def test_a_reload_that_fails_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    notifier = RecordingNotifier()
    lifecycle = Lifecycle(notifier)

    def fail() -> list[str]:
        raise ConfigError("rules: line 3 is no rule")

    lifecycle.on_reload(fail)
    lifecycle.reload()
    assert notifier.lines == ["RELOADING=1", "READY=1"]
    assert caplog.messages == ["reload failed, nothing was changed: rules: line 3 is no rule"]


async def test_a_run_without_anything_to_read_again_says_so(caplog: pytest.LogCaptureFixture) -> None:
    notifier = RecordingNotifier()
    with caplog.at_level("INFO"):
        Lifecycle(notifier).reload()
    assert notifier.lines == [] and "nothing to read again" in caplog.messages[0]


async def test_a_run_ends_well_or_with_what_it_failed_of() -> None:
    well, failing = Lifecycle(RecordingNotifier()), Lifecycle(RecordingNotifier())
    well.stopping.set()
    await well.ended()
    failing.fail(ToxvpnError("the device is gone"))
    with pytest.raises(ToxvpnError, match="the device is gone"):
        await failing.ended()


async def test_a_person_ends_a_run_and_a_failure_or_a_service_manager_does_too() -> None:
    down, failed, interrupted, terminated = (Lifecycle(RecordingNotifier()) for _ in range(4))
    down.stopping.set()
    failed.fail(ToxvpnError("gone"))
    interrupted.interrupted = True
    assert [each.dismissed for each in (down, failed, interrupted, terminated)] == [True, False, True, False]


async def test_the_loop_feeds_the_watchdog_twice_in_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    planned: list[tuple[float, Any]] = []
    loop = asyncio.get_running_loop()
    later = loop.call_later

    def call_later(delay_s: float, call: Any) -> asyncio.TimerHandle:
        planned.append((delay_s, call))
        return later(1000.0, call)

    monkeypatch.setattr(loop, "call_later", call_later)
    notifier = RecordingNotifier(watchdog_s=30.0)
    lifecycle = Lifecycle(notifier)
    assert notifier.lines == ["WATCHDOG=1"]
    (delay_s, feed), *_ = planned
    assert delay_s == 15.0
    feed()
    assert notifier.lines == ["WATCHDOG=1"] * 2 and len(planned) == 2
    lifecycle.close()
    assert notifier.lines[-1] == "STOPPING=1"


async def test_a_node_without_turns_starves_the_watchdog() -> None:
    """Also when the loop lives; systemd then starts the service anew."""
    notifier, node = RecordingNotifier(watchdog_s=30.0), OneNode()
    lifecycle = Lifecycle(notifier)
    lifecycle.watch(cast(Node, node))
    for node.alive in (True, False, True):
        lifecycle._feed_watchdog()
    assert notifier.lines.count("WATCHDOG=1") == 3
    assert node.asked_s == {15.0}
    lifecycle.close()


async def test_no_watchdog_no_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio.get_running_loop(), "call_later", None)
    Lifecycle(RecordingNotifier()).close()


# -- the terminal -----------------------------------------------------------------------------------

IN_A_TERMINAL = """
import os, pty, signal, sys
from toxvpn.process.lifecycle import has_terminal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
child, terminal = pty.fork()
if child == 0:
    before = has_terminal()
    print("looked", flush=True)
    if sys.argv[1] == "close":
        signal.sigwait({signal.SIGHUP})
    if sys.argv[1] == "leave" and os.fork() == 0:
        os.setsid()
        os._exit(10 * before + has_terminal())
    if sys.argv[1] == "leave":
        os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
    os._exit(10 * before + has_terminal())
said = b""
while 10 not in said:
    said += os.read(terminal, 100)
if sys.argv[1] == "close":
    os.close(terminal)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.parametrize(("then", "before_and_after"), [("stay", 11), ("leave", 10)])
def test_a_terminal_is_seen(then: str, before_and_after: int) -> None:
    ran = subprocess.run([sys.executable, "-c", IN_A_TERMINAL, then], timeout=30)
    assert ran.returncode == before_and_after


def test_a_terminal_that_was_closed_is_none() -> None:
    ran = subprocess.run([sys.executable, "-c", IN_A_TERMINAL, "close"], timeout=30)
    assert ran.returncode == 10
