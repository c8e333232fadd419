"""Messages to systemd, on a socket such as systemd makes."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from toxvpn.process.notify import Notifier


@pytest.fixture(params=["a path", "an abstract name"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "notify") if request.param == "a path" else f"\0toxvpn-{uuid4()}")
        server.setblocking(False)
        yield server


def environment(server: socket.socket, **others: str) -> dict[str, str]:
    name = server.getsockname()
    return {"NOTIFY_SOCKET": "@" + name[1:].decode() if isinstance(name, bytes) else name, **others}


SAID: list[tuple[Callable[[Notifier], None], str]] = [
    (Notifier.ready, "READY=1"),
    (Notifier.stopping, "STOPPING=1"),
    (Notifier.alive, "WATCHDOG=1"),
    (lambda notifier: notifier.status("Tox: udp;\n2 of 3"), "STATUS=Tox: udp; 2 of 3"),
]


@pytest.mark.parametrize(("say", "expected"), SAID)
def test_each_word_is_one_datagram(
    systemd: socket.socket, say: Callable[[Notifier], None], expected: str
) -> None:
    notifier = Notifier(environment(systemd))
    say(notifier)
    assert systemd.recv(1000).decode() == expected
    with pytest.raises(BlockingIOError):
        systemd.recv(1000)
    notifier.close()


def test_a_reload_says_when(systemd: socket.socket) -> None:
    notifier = Notifier(environment(systemd))
    notifier.reloading()
    first, second = systemd.recv(1000).decode().splitlines()
    name, _, usec = second.partition("=")
    assert (first, name) == ("RELOADING=1", "MONOTONIC_USEC") and int(usec) > 0
    notifier.close()


def test_the_variables_are_not_handed_on() -> None:
    environ = {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "HOME": "/"}
    Notifier(environ).close()
    assert environ == {"HOME": "/"}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),  # somebody else's
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog(variables: dict[str, str], expected: float | None) -> None:
    assert Notifier(dict(variables)).watchdog_s == expected


@pytest.mark.parametrize("address", ["", "/nowhere/notify", "vsock:2:1234"])
def test_where_nobody_listens_nothing_happens(address: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": address})
    notifier.ready()
    notifier.status("x")
    notifier.close()
    notifier.ready()
