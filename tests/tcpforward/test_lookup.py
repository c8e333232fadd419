"""Look-ups of names: one asker's slow ones hold up nobody else's."""

import asyncio
import errno
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from toxvpn.tcpforward.hosts import Hosts
from toxvpn.tcpforward.lookup import MAX_LOOKUPS, MAX_LOOKUPS_OF_ONE, LookUps
from toxvpn.testing.fake_nodes import until
from toxvpn.testing.forward_pair import in_time
from toxvpn.tox.peer import Peer

FRIEND, OTHER = Peer(1, bytes(32)), Peer(2, bytes(32))


class Resolver:
    """Names that end in .slow are answered, with a failure, once they are let go; others at once."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.let_go = threading.Event()
        self._real = socket.getaddrinfo

    def __call__(self, host: str, port: None, *, type: int, flags: int = 0) -> Any:
        if flags & socket.AI_NUMERICHOST:
            return self._real(host, port, type=type, flags=flags)
        self.asked.append(host)
        if host.endswith(".slow"):
            self.let_go.wait(20)
            raise socket.gaierror(socket.EAI_AGAIN, "too late")
        return self._real("192.0.2.1", port, type=type, flags=socket.AI_NUMERICHOST)

    def slow(self) -> int:
        return sum(name.endswith(".slow") for name in self.asked)


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    made = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", made)
    yield made
    made.let_go.set()


@pytest.fixture
def lookups(tmp_path: Path) -> LookUps:
    (tmp_path / "hosts").write_text("10.0.0.1 listed\n")
    return LookUps(Hosts(tmp_path / "hosts"))


def ask(lookups: LookUps, asker: Peer, *names: str) -> list[asyncio.Task[list[Any]]]:
    return [asyncio.create_task(lookups.of(asker)(name)) for name in names]  # type: ignore[arg-type]


def addresses(found: list[Any]) -> list[str]:
    return [info[4][0] for info in found]


async def cancel(tasks: list[asyncio.Task[list[Any]]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_slow_names_of_one_are_waited_for_by_that_one_alone(
    lookups: LookUps, resolver: Resolver
) -> None:
    slow = ask(lookups, FRIEND, *(f"{number}.slow" for number in range(2 * MAX_LOOKUPS)))
    await until(lambda: resolver.slow() == MAX_LOOKUPS_OF_ONE)
    assert addresses(await in_time(lookups.of(OTHER)("quick"))) == ["192.0.2.1"]
    await cancel(slow)
    late = ask(lookups, FRIEND, "late")
    assert addresses(await in_time(lookups.of(OTHER)("another"))) == ["192.0.2.1"]
    assert not late[0].done(), "threads that were left behind still count"
    resolver.let_go.set()
    assert addresses(await in_time(late[0])) == ["192.0.2.1"]
    assert resolver.slow() == MAX_LOOKUPS_OF_ONE, "nobody waited for the rest any more"


async def test_what_the_hosts_file_has_waits_for_nothing(lookups: LookUps, resolver: Resolver) -> None:
    slow = ask(lookups, FRIEND, *(f"{number}.slow" for number in range(MAX_LOOKUPS_OF_ONE + 1)))
    await until(lambda: resolver.slow() == MAX_LOOKUPS_OF_ONE)
    assert addresses(await in_time(lookups.of(FRIEND)("localhost"))) == ["::1", "127.0.0.1"]
    assert addresses(await in_time(lookups.of(FRIEND)("Listed"))) == ["10.0.0.1"]
    assert resolver.slow() == len(resolver.asked)
    await cancel(slow)


async def test_all_together_have_a_limit_and_take_their_turns(
    lookups: LookUps, resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    peers = [Peer(number, bytes(32)) for number in range(MAX_LOOKUPS // MAX_LOOKUPS_OF_ONE + 1)]
    slow = [
        task
        for number, peer in enumerate(peers)
        for task in ask(lookups, peer, *(f"{number}-{one}.slow" for one in range(MAX_LOOKUPS_OF_ONE)))
    ]
    await until(lambda: resolver.slow() == MAX_LOOKUPS)
    resolver.let_go.set()
    ends = await in_time(asyncio.gather(*slow, return_exceptions=True))
    assert {str(end) for end in ends} == {"[Errno -3] too late"}
    assert resolver.slow() == len(slow)


async def test_connections_to_one_name_share_the_answer(lookups: LookUps, resolver: Resolver) -> None:
    several = ask(lookups, FRIEND, *["same"] * 50)
    assert {addresses(found)[0] for found in await in_time(asyncio.gather(*several))} == {"192.0.2.1"}
    assert resolver.asked == ["same"]
    await in_time(lookups.of(FRIEND)("same"))
    assert resolver.asked == ["same", "same"], "an answer is not kept"


async def test_one_that_gives_up_takes_the_answer_from_nobody(lookups: LookUps, resolver: Resolver) -> None:
    impatient, patient = ask(lookups, FRIEND, "one.slow", "one.slow")
    await until(lambda: resolver.slow() == 1)
    await cancel([impatient])
    resolver.let_go.set()
    with pytest.raises(OSError, match="too late"):
        await in_time(patient)


async def test_a_thread_that_cannot_be_started_costs_no_place(
    lookups: LookUps, resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        for number in range(MAX_LOOKUPS + 1):
            with pytest.raises(OSError, match="can't start new thread") as failure:
                await in_time(lookups.of(FRIEND)(f"name-{number}"))
            assert failure.value.errno == errno.EAGAIN
    assert addresses(await in_time(lookups.of(FRIEND)("name"))) == ["192.0.2.1"]


async def test_whatever_the_resolver_raises_is_an_answer(
    lookups: LookUps, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("embedded null character")

    monkeypatch.setattr(socket, "getaddrinfo", broken)
    for number in range(MAX_LOOKUPS_OF_ONE + 1):
        with pytest.raises(OSError, match="embedded null"):
            await in_time(lookups.of(FRIEND)(f"name-{number}"))
