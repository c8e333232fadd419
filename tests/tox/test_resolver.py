import asyncio
import socket
import threading
from typing import Any

import pytest

from toxvpn.tox.resolver import Names


async def test_one_address_of_each_family_comes_back_in_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [
        (socket.AF_INET6, 0, 0, "", ("2001:db8::1", 0, 0, 0)),
        (socket.AF_INET, 0, 0, "", ("203.0.113.1", 0)),
        (socket.AF_INET, 0, 0, "", ("203.0.113.2", 0)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers)
    got: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
    Names(asyncio.get_running_loop()).resolve("tox.example.org", got.set_result)
    assert sorted(await asyncio.wait_for(got, 5)) == ["2001:db8::1", "203.0.113.1"]


@pytest.mark.parametrize(
    "failure",
    [socket.gaierror(-2, "Name or service not known"), UnicodeError("label empty or too long")],
    ids=["no such name", "no name at all"],
)
async def test_a_failure_is_silent_and_can_be_asked_again(
    monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise failure

    started: list[threading.Thread] = []
    real_start = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        started.append(thread)
        real_start(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    monkeypatch.setattr(socket, "getaddrinfo", fail)
    names = Names(asyncio.get_running_loop())
    for _ in range(2):
        names.resolve("absent.example", lambda _: pytest.fail("found"))
        names.resolve("absent.example", lambda _: pytest.fail("found"))
        started[-1].join(5)
        await asyncio.sleep(0)  # the answer was already in the loop's queue
    assert len(started) == 2
