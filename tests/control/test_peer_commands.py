"""Two machines on a Tox network in memory, driven over their control sockets alone."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from toxvpn.control import client
from toxvpn.control.commands import RunCommands
from toxvpn.control.peer_commands import PeerCommands
from toxvpn.control.server import ControlServer
from toxvpn.control.status import RunStatus
from toxvpn.control.status_reader import StatusReader
from toxvpn.errors import NotRunningError, PeerRefusedError, UsageError
from toxvpn.members.friends import Authority, FriendBook
from toxvpn.members.roster import Roster
from toxvpn.testing.fake_nodes import Network
from toxvpn.wire.addressing import overlay_ipv6


class Machine:
    """What a daemon is to the control plane."""

    def __init__(self, network: Network, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        self.node = network.node()
        self.roster = Roster(self.node, Authority(), FriendBook(), lambda: None, time.time, directory)
        self.roster.start()
        self.stopped = asyncio.Event()

    def status(self) -> RunStatus:
        found = StatusReader(self.node, "up", self.roster).read()
        return replace(found, peers=[replace(peer, rx_bytes=7) for peer in found.peers])

    async def ping(self, _: bytes) -> float:
        return 0.001

    @property
    def id(self) -> str:
        return self.node.tox.address.hex().upper()

    @property
    def key(self) -> str:
        return self.id[:64]

    async def ask(self, do: str, **arguments: Any) -> Any:
        return await asyncio.to_thread(client.call, self.directory, do, **arguments)

    async def peer(self, other: "Machine") -> Any:
        status = await self.ask("status")
        return next(peer for peer in status["peers"] if peer["public_key"] == other.key)


@contextlib.asynccontextmanager
async def controlled(machine: Machine, roster: Roster | None) -> AsyncIterator[None]:
    """As the daemon does it."""
    server = ControlServer(machine.directory)
    commands = RunCommands(server, machine.status, machine.ping, machine.stopped.set)
    machine.node.subscribe(commands.changed)
    if roster is not None:
        PeerCommands(server, roster)
    await server.start()
    yield
    server.close()


@pytest.fixture
async def machines(tmp_path: Path) -> AsyncIterator[tuple[Machine, Machine]]:
    network = Network()
    one, other = Machine(network, tmp_path / "one"), Machine(network, tmp_path / "other")
    async with controlled(one, one.roster), controlled(other, other.roster):
        yield one, other
    network.close()


Machines = tuple[Machine, Machine]


async def test_adding_on_both_sides_connects(machines: Machines) -> None:
    one, other = machines
    added = await one.ask("peer-add", peer=other.id, name="other")
    assert added == {"public_key": other.key, "name": "other", "may": ["vpn"]}
    peer = await one.peer(other)
    assert (peer["friend_request"], peer["grant"], peer["configured"]) == ("sent", "peer", True)
    await other.ask("peer-add", peer=one.id)
    await asyncio.gather(one.ask("wait", timeout_s=10), other.ask("wait", peers=[one.key], timeout_s=10))
    peer = await one.peer(other)
    assert (peer["online"], peer["path"], peer["rx_bytes"]) == (True, "udp", 7)
    assert (peer["friend_request"], peer["name"]) == (None, "other")
    assert peer["since"].startswith("20")
    assert (await one.ask("ping", peer="other"))["rtt_seconds"] == 0.001


async def test_an_invite(machines: Machines) -> None:
    host, guest = machines
    made = await host.ask("invite", lifetime_s=3600, name="guest")
    assert made["may"] == ["forwards", "vpn"]
    assert made["expires"] == pytest.approx(time.time() + 3600, abs=60)
    (outstanding,) = await host.ask("invite-list")
    assert (outstanding["name"], outstanding["used_by"]) == ("guest", None)
    await guest.ask("peer-add", peer=made["token"].upper(), name="host")
    await guest.ask("wait", timeout_s=10)
    await host.ask("wait", peers=["guest"], timeout_s=10)
    (outstanding,) = await host.ask("invite-list")
    assert outstanding["used_by"] == guest.key
    assert (await host.peer(guest))["grant"] == "invite"


async def test_what_a_guest_may_reach(machines: Machines) -> None:
    host, guest = machines
    made = await host.ask("invite", lifetime_s=3600, name="guest", allow=["localhost:22"])
    assert made["allow"] == ["localhost:22"]
    assert (await host.ask("invite-list"))[0]["allow"] == ["localhost:22"]
    await guest.ask("peer-add", peer=made["token"])
    await host.ask("wait", peers=[guest.key], timeout_s=10)
    key = bytes.fromhex(guest.key)
    assert host.roster.allow_of(key) == ("localhost:22",)
    await host.ask("peer-allow", peer="guest", allow=["icmp", "udp/*:53"])
    assert host.roster.allow_of(key) == ("icmp", "udp/*:53")
    with pytest.raises(UsageError, match="rule 'localhost': the port is missing"):
        await host.ask("peer-allow", peer="guest", allow=["localhost"])
    await host.ask("peer-allow", peer="guest", allow=[])
    assert host.roster.allow_of(key) == ()


async def test_a_revoked_invite(machines: Machines) -> None:
    host, guest = machines
    made = await host.ask("invite", lifetime_s=3600, may=["vpn"])
    assert made["may"] == ["vpn"]
    (outstanding,) = await host.ask("invite-list")
    assert await host.ask("invite-revoke", invite=outstanding["handle"]) == outstanding
    assert await host.ask("invite-list") == []
    await guest.ask("peer-add", peer=made["token"])
    async with asyncio.timeout(10):
        while not (pending := (await host.ask("status"))["pending"]):
            await asyncio.sleep(0.01)
    assert pending[0]["reason"] == "the invite is not one of ours, or was revoked"


async def test_accepting_a_stranger_and_removing_it(machines: Machines) -> None:
    host, guest = machines
    await guest.ask("peer-add", peer=host.id)
    async with asyncio.timeout(10):
        while not (pending := (await host.ask("status"))["pending"]):
            await asyncio.sleep(0.01)
    assert pending[0]["public_key"] == guest.key
    accepted = await host.ask("peer-accept", peer=guest.key[:16], name="guest")
    assert accepted == {"public_key": guest.key, "name": "guest"}
    await guest.ask("wait", timeout_s=10)
    assert await host.ask("peer-remove", peer="guest") == {"public_key": guest.key, "name": "guest"}
    assert (await host.ask("status"))["peers"] == []
    with pytest.raises(PeerRefusedError):
        await host.ask("peer-remove", peer="guest")


async def test_naming(machines: Machines) -> None:
    one, other = machines
    await one.ask("peer-add", peer=other.id, name="other")
    answer = await one.ask("peer-name", peer="other", name="box")
    assert answer == {"public_key": other.key, "name": "box"}
    assert (await one.ask("status"))["peers"][0]["name"] == "box"
    with pytest.raises(PeerRefusedError):
        await one.ask("peer-name", peer="other", name="x")


async def test_routes(machines: Machines) -> None:
    one, other = machines
    await one.ask("peer-add", peer=other.id, name="other")
    changes: list[object] = []
    key = other.node.tox.public_key
    one.roster.on_routes = lambda: changes.append(one.roster.routes(key))
    for words in (["10.0.0.0/8"], ["all"], ["none"]):
        answer = await one.ask("peer-route", peer="other", routes=words)
        assert answer == {"public_key": other.key, "name": "other"}
    assert changes == [(IPv4Network("10.0.0.0/8"),), "all", ()]
    with pytest.raises(UsageError, match="is not a network"):
        await one.ask("peer-route", peer="other", routes=["x"])
    with pytest.raises(PeerRefusedError):
        await one.ask("peer-route", peer="nobody", routes=["all"])


async def test_mistakes(machines: Machines) -> None:
    one, _ = machines
    with pytest.raises(PeerRefusedError):
        await one.ask("wait", peers=["other"], timeout_s=1)
    with pytest.raises(UsageError):
        await one.ask("peer-add", peer="nonsense")
    with pytest.raises(UsageError, match="1 minute"):
        await one.ask("invite")
    with pytest.raises(UsageError, match="own Tox ID"):
        await one.ask("peer-add", peer=one.id)


async def test_down(machines: Machines) -> None:
    one, other = machines
    await one.ask("down")
    await one.stopped.wait()
    assert not other.stopped.is_set()


async def test_a_client_has_no_peers_to_manage(tmp_path: Path) -> None:
    network = Network()
    machine = Machine(network, tmp_path / "client")
    async with controlled(machine, roster=None):
        assert (await machine.ask("status"))["schema"] == 1
        with pytest.raises(UsageError, match="cannot do 'peer-add'"):
            await machine.ask("peer-add", peer=machine.id)
    with pytest.raises(NotRunningError):
        await machine.ask("status")
    network.close()


async def test_a_peer_without_a_packet_path_has_the_address_of_its_key() -> None:
    network = Network()
    left, right = network.pair()
    (state,) = StatusReader(left, "client", wall=lambda: 1000.0).read().peers
    assert state.ipv6 == overlay_ipv6(right.tox.public_key)
    assert state.configured and state.grant is None and state.since is not None and state.since <= 1000
    network.close()
