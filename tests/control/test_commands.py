"""status, wait, ping and down, over the real socket."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from toxvpn.control.commands import RunCommands, find_named
from toxvpn.control.server import ControlServer
from toxvpn.control.status import PeerState
from toxvpn.errors import PathError, PeerOfflineError, PeerRefusedError, UsageError
from toxvpn.testing.fake_nodes import until
from toxvpn.testing.fake_status import ALICE, BOB, CAROL, busy


class Running:
    """A daemon's control commands; tests change `status` and tell `commands`."""

    def __init__(self, server: ControlServer) -> None:
        self.status = busy()
        self.pinged: list[bytes] = []
        self.ping: Callable[[bytes], Awaitable[float]] = self._answer
        self.stopped = asyncio.Event()
        self.commands = RunCommands(server, lambda: self.status, self._ping, self.stopped.set)

    async def _ping(self, key: bytes) -> float:
        self.pinged.append(key)
        return await self.ping(key)

    async def _answer(self, _: bytes) -> float:
        return 0.0125

    def change(self, key: bytes, **changes: Any) -> None:
        self.set_peers(
            replace(peer, **changes) if peer.public_key == key else peer for peer in self.status.peers
        )
        self.commands.changed()

    def set_peers(self, peers: Iterable[PeerState]) -> None:
        self.status = replace(self.status, peers=list(peers))


@pytest.fixture
async def running(server: ControlServer) -> Running:
    return Running(server)


async def test_status(running: Running, ask: Any) -> None:
    document = await ask("status")
    assert document["schema"] == 1
    assert [peer["name"] for peer in document["peers"]] == ["alice", "bob", None]
    running.set_peers([])
    assert (await ask("status"))["peers"] == []


async def test_down_is_answered_before_it_happens(running: Running, ask: Any) -> None:
    assert await ask("down") is None
    async with asyncio.timeout(5):
        await running.stopped.wait()


# -- ping -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("selector", ["alice", "B0B0", "100.64.7.2", ALICE.hex()])
async def test_ping(running: Running, ask: Any, selector: str) -> None:
    assert await ask("ping", peer=selector) == {
        "name": "alice",
        "public_key": ALICE.hex().upper(),
        "address": "100.64.7.2",
        "path": "udp",
        "rtt_seconds": 0.0125,
    }
    assert running.pinged == [ALICE]


async def test_ping_tells_the_path_it_has_afterwards(running: Running, ask: Any) -> None:
    async def answer(key: bytes) -> float:
        running.change(key, path="udp")
        return 0.1

    running.ping = answer
    pong = await ask("ping", peer="bob")
    assert (pong["path"], pong["address"]) == ("udp", "fd74:6f78::3")


async def test_ping_of_nobody_or_somebody_away(running: Running, ask: Any) -> None:
    with pytest.raises(PeerRefusedError, match="'dave'"):
        await ask("ping", peer="dave")
    with pytest.raises(PeerOfflineError, match="00000000 is offline"):
        await ask("ping", peer="0000")
    with pytest.raises(UsageError, match="needs 'peer'"):
        await ask("ping")
    assert running.pinged == []


async def test_ping_without_an_answer(running: Running, ask: Any) -> None:
    async def never(_: bytes) -> float:
        return await asyncio.Future[float]()

    running.ping = never
    with pytest.raises(PeerOfflineError, match="no answer from alice"):
        await ask("ping", peer="alice", timeout_s=0.01)


# -- wait -----------------------------------------------------------------------------------------


async def test_wait_returns_when_it_is_so_already(running: Running, ask: Any) -> None:
    await ask("wait", timeout_s=0)
    await ask("wait", peers=["alice", "bob"])
    await ask("wait", peers=["alice"], direct=True)


async def begun(running: Running) -> None:
    """Until the daemon waits for a change."""
    await until(lambda: running.commands._change._waiters)


async def test_wait_for_one_that_is_away(running: Running, ask: Any) -> None:
    waiting = asyncio.create_task(ask("wait", peers=["0000"], answer_s=None))
    await begun(running)
    running.change(ALICE, path="none")  # somebody else's business
    await begun(running)
    assert not waiting.done()
    running.change(CAROL, path="tcp-relay")
    await waiting


async def test_wait_for_its_addresses(running: Running, ask: Any) -> None:
    running.change(BOB, introduced=False)
    waiting = asyncio.create_task(ask("wait", peers=["bob"]))
    await begun(running)
    assert not waiting.done()
    running.change(BOB, introduced=True)
    await waiting


async def test_wait_for_a_direct_path(running: Running, ask: Any) -> None:
    waiting = asyncio.create_task(ask("wait", direct=True))
    await begun(running)
    running.change(BOB, path="udp")
    await waiting


async def test_wait_in_vain(running: Running, ask: Any) -> None:
    with pytest.raises(PeerOfflineError, match=r"not reached in time: 00000000$"):
        await ask("wait", peers=["0000", "alice"], timeout_s=0.01)
    with pytest.raises(PeerOfflineError, match=r"not reached in time: 00000000, bob$"):
        await ask("wait", peers=["bob", "0000"], direct=True, timeout_s=0.01)
    with pytest.raises(PathError, match=r"reached only over a relay, not directly: bob$"):
        await ask("wait", peers=["bob", "alice"], direct=True, timeout_s=0.01)


async def test_wait_for_unknown_peers_is_no_waiting(running: Running, ask: Any) -> None:
    with pytest.raises(PeerRefusedError, match="'dave'"):
        await ask("wait", peers=["alice", "dave"])


async def test_wait_without_peers(running: Running, ask: Any) -> None:
    running.set_peers([PeerState(public_key=CAROL, grant="secret")])
    with pytest.raises(PeerRefusedError, match="no peer to wait for"):
        await ask("wait")


async def test_a_peer_that_is_removed_meanwhile_stays_missing(running: Running, ask: Any) -> None:
    waiting = asyncio.create_task(ask("wait", peers=["0000"], timeout_s=0.05))
    await begun(running)
    running.set_peers([])
    running.commands.changed()
    with pytest.raises(PeerOfflineError):
        await waiting


def test_a_peer_is_meant_by_its_name_on_the_network_too() -> None:
    peers = [replace(peer, dns_name="nas.tox.internal" if peer.public_key == CAROL else peer.dns_name)
             for peer in busy().peers]  # fmt: skip
    for text, key in {
        "nas": CAROL,
        "NAS.tox.internal.": CAROL,
        "bob": BOB,
        "bob-2.tox.internal": BOB,
        ALICE.hex()[:8]: ALICE,
    }.items():
        assert find_named(text, peers).public_key == key
    with pytest.raises(PeerRefusedError):
        find_named("bob.tox.internal", peers)  # another machine has that name there


def test_what_a_peer_calls_itself_is_taken_for_no_digits_of_a_key() -> None:
    digits = ALICE.hex()[:8]
    peers = [replace(peer, dns_name=f"{digits}.tox.internal" if peer.public_key == CAROL else None)
             for peer in busy().peers]  # fmt: skip
    assert find_named(digits, peers).public_key == ALICE
    assert find_named(f"{digits}.tox.internal", peers).public_key == CAROL
