"""A reload of running services, on a Tox network in memory with real sockets at the ends."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import pytest_asyncio

from toxvpn.config.file import parse
from toxvpn.config.model import Config
from toxvpn.config.vpn import VpnSection
from toxvpn.daemon import names as names_module
from toxvpn.daemon.node import RunningNode
from toxvpn.daemon.services import Services
from toxvpn.errors import ConfigError, PeerRefusedError, ToxvpnError, UsageError
from toxvpn.members.autosave import Autosave
from toxvpn.members.friends import FriendBook, Grant
from toxvpn.members.peers import ConfiguredPeer, May
from toxvpn.process.lifecycle import Lifecycle
from toxvpn.process.notify import Notifier
from toxvpn.state.places import find_places
from toxvpn.tcpforward.fast.stack import Stack, StackUnavailableError
from toxvpn.tcpforward.remote import client
from toxvpn.tcpforward.rules import Rules
from toxvpn.tcpforward.server import ForwardServer
from toxvpn.tcpforward.tuntox.road import TuntoxRoad
from toxvpn.testing.fake_nodes import Network, until
from toxvpn.testing.forward_pair import Program, TargetProgram
from toxvpn.tox.mtuprober import MtuProber
from toxvpn.tox.node import Node
from toxvpn.tox.ownstatus import OwnStatus
from toxvpn.tox.reach.relaying import Relaying
from toxvpn.tun import vpn as vpn_module
from toxvpn.tun.exit.exits import ExitPlan
from toxvpn.tun.filters import Reach
from toxvpn.tun.host.namespace import Namespace
from toxvpn.tun.subnets.routes import Grants
from toxvpn.tun.vpn import VpnOptions
from toxvpn.wire.statusmessage import decode
from toxvpn.wire.toxid import short_key


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


class FakeKeeper:
    def changed(self) -> None: ...


class FakeVpn:
    """Remembers what it was made with, and asks who belongs."""

    def __init__(
        self,
        node: Node,
        own_status: OwnStatus,
        options: VpnOptions,
        journal: Path,
        belongs: Callable[[bytes], bool],
        gone: Callable[[], None],
        allowed: Mapping[bytes, IPv4Address],
        grants: Grants,
        namespace: Namespace,
        exits: ExitPlan,
        reach_of: Callable[[bytes], Reach | None],
    ) -> None:
        self.exits = exits
        self.reach_of = reach_of
        self.gone = gone
        self.grants = grants
        self.subnets = SimpleNamespace(update=self._routes_changed)
        self.route_changes = 0
        self.options = options
        self.allowed = allowed
        self.reviews = 0
        self.belongs = belongs
        self.node = node

    def __enter__(self) -> "FakeVpn":
        return self

    def __exit__(self, *_: object) -> None: ...

    def _routes_changed(self) -> None:
        self.route_changes += 1

    def choose_groups(self, groups: tuple[str, ...]) -> None:
        self.groups = groups

    def update_peers(self) -> None:
        self.reviews += 1

    def allow(self, addresses: Mapping[bytes, IPv4Address]) -> None:
        self.allowed = addresses

    @property
    def members(self) -> set[bytes]:
        return {peer.public_key for peer in self.node if self.belongs(peer.public_key)}


class FakeNames:
    """Remembers which sections were put in force."""

    def __init__(self, *_: object) -> None:
        self.applied: list[VpnSection] = []

    def apply(self, section: VpnSection) -> None:
        self.applied.append(section)

    async def close(self) -> None: ...


class Machine:
    """What `toxvpn run` has, made from the text of a config.toml."""

    def __init__(self, directory: Path, network: Network, undo: contextlib.AsyncExitStack) -> None:
        self.directory = directory
        self.node = network.node()
        lifecycle = Lifecycle(Notifier({}))
        autosave = cast(Autosave, FakeKeeper())
        own_status = OwnStatus(self.node)
        prober = MtuProber(self.node, own_status)
        self.base = RunningNode(
            self.node, own_status, prober, FriendBook(), autosave, directory, lifecycle, Relaying(self.node)
        )
        self._undo = undo

    def config(self, text: str) -> Config:
        return parse(text, self.directory / "config.toml")

    def start(self, text: str, *, forwards: bool = True) -> None:
        places = find_places(self.directory)
        self.services = Services(self.base, places, self.config(text), self._undo, forwards=forwards)
        self.services.start()

    def reload(self, text: str) -> list[str]:
        return self.services.apply(self.config(text))

    @property
    def friends(self) -> set[bytes]:
        return {peer.public_key for peer in self.node}

    @property
    def vpn(self) -> FakeVpn:
        return cast(FakeVpn, self.services.vpn)

    @property
    def listens(self) -> list[str]:
        return [state.listen for state in self.services.forwards.states()]


@pytest_asyncio.fixture
async def network() -> AsyncIterator[Network]:
    made = Network()
    yield made
    made.close()


@pytest_asyncio.fixture
async def machine(
    tmp_path: Path, network: Network, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Machine]:
    async def unavailable(*_: object) -> Stack:
        raise StackUnavailableError("not in this test")

    monkeypatch.setattr(Stack, "start", unavailable)
    monkeypatch.setattr(vpn_module, "Vpn", FakeVpn)
    monkeypatch.setattr(names_module, "VpnNames", FakeNames)
    async with contextlib.AsyncExitStack() as undo:
        yield Machine(tmp_path, network, undo)


class Box:
    """A peer that serves everything; `target` is what it reaches."""

    def __init__(self, network: Network, undo: contextlib.AsyncExitStack) -> None:
        self.node = network.node()
        self.road = TuntoxRoad(self.node, ForwardServer(lambda _: Rules()).serve)
        undo.push_async_callback(self.road.close)
        self.target = TargetProgram()
        undo.callback(self.target.close)
        self._undo = undo

    @property
    def key(self) -> bytes:
        return self.node.tox.public_key

    @property
    def id(self) -> str:
        return self.node.tox.address.hex()

    def lets_in(self, machine: Machine) -> None:
        self.node.accept(machine.node.tox.public_key)

    def section(self, name: str = "box", more: str = "") -> str:
        return f'[peers.{name}]\nid = "{self.id}"\n{more}\n'

    def forward(self, port: int, name: str = "box", host: str = "127.0.0.1") -> str:
        target = f"127.0.0.1:{self.target.port}"
        return f'[[forwards]]\npeer = "{name}"\nlisten = "{host}:{port}"\ntarget = "{target}"\n'

    async def reached(self, port: int, host: str = "127.0.0.1") -> tuple[Program, Program]:
        """A connection through a forward at `port`, and its other end here."""
        application = await Program.connect(port, host)
        self._undo.callback(application.close)
        target = await self.target.accept()
        self._undo.callback(target.close)
        return application, target


@pytest_asyncio.fixture
async def boxes(network: Network, machine: Machine) -> AsyncIterator[Callable[[], Box]]:
    async with contextlib.AsyncExitStack() as undo:

        def make() -> Box:
            box = Box(network, undo)
            box.lets_in(machine)
            return box

        yield make


async def talk(ends: tuple[Program, Program]) -> None:
    for one, other in (ends, ends[::-1]):
        await one.send(b"word")
        assert await other.receive(4) == b"word"


# -- forwards -------------------------------------------------------------------------------------


async def test_what_is_open_stays_open_when_its_forward_goes(
    machine: Machine, boxes: Callable[[], Box]
) -> None:
    box, old, new = boxes(), free_port(), free_port()
    machine.start(box.section() + box.forward(old))
    ends = await box.reached(old)
    await talk(ends)
    lines = machine.reload(box.section() + box.forward(new))
    assert lines == [f"no longer listening on 127.0.0.1:{old}", f"listening on 127.0.0.1:{new}"]
    await talk(ends)
    await talk(await box.reached(new))
    with pytest.raises(ConnectionRefusedError):
        await Program.connect(old)


@pytest.fixture
async def laptop(
    machine: Machine, network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Machine:
    """Another machine, which has others listen for it, and asks again at once."""
    monkeypatch.setattr(client, "AGAIN_S", 0.01)
    made = Machine(tmp_path / "laptop", network, machine._undo)
    made.directory.mkdir()
    return made


def listening_for(box: Box, port: int) -> str:
    return f'[[remote_forwards]]\npeer = "server"\nlisten = {port}\ntarget = "127.0.0.1:{box.target.port}"\n'


async def test_a_peer_listens_as_long_as_both_files_say_so(
    machine: Machine, laptop: Machine, boxes: Callable[[], Box]
) -> None:
    box, port = boxes(), free_port()
    ids = {each: each.node.tox.address.hex() for each in (machine, laptop)}
    peer = f'[peers.laptop]\nid = "{ids[laptop]}"\nallow = []\n'
    machine.start(f'{peer}allow_listen = ["{port}"]\n')
    wanted = f'[peers.server]\nid = "{ids[machine]}"\n'
    laptop.start(wanted + listening_for(box, port))
    await until(lambda: [each.remote for each in machine.services.forward_states()] == ["here"])
    ends = await box.reached(port)
    await talk(ends)
    machine.reload(peer)
    with pytest.raises(ConnectionRefusedError):
        await Program.connect(port)
    await talk(ends)
    await until(lambda: "may not listen" in str(laptop.services.forward_states()[0].problem))
    lines = laptop.reload(wanted)
    assert lines == [f"no longer asking for 127.0.0.1:{port}, [::1]:{port} of server -> {box.target.target}"]
    assert laptop.services.forward_states() == []


async def test_a_peer_that_a_command_keeps_with_no_rights_listens_no_more(
    machine: Machine, laptop: Machine, boxes: Callable[[], Box]
) -> None:
    box, port = boxes(), free_port()
    for each in (machine, laptop):
        secret = each.directory / "secret"
        secret.write_text("a secret of both")
        secret.chmod(0o600)
    machine.start(f'[server]\nsecret_file = "secret"\nallow_listen = ["{port}"]\n')
    laptop.start(
        f'[peers.server]\nid = "{machine.node.tox.address.hex()}"\nsecret_file = "secret"\n'
        + listening_for(box, port)
    )
    await until(lambda: [each.remote for each in machine.services.forward_states()] == ["here"])
    await talk(await box.reached(port))
    machine.services.roster.add(ConfiguredPeer(laptop.node.tox.public_key, may=frozenset()))
    with pytest.raises(ConnectionRefusedError):
        await Program.connect(port)


async def test_a_listener_that_stays_is_not_touched(machine: Machine, boxes: Callable[[], Box]) -> None:
    box, kept, other = boxes(), free_port(), free_port()
    machine.start(box.section() + box.forward(kept))
    waiting = socket.create_connection(("127.0.0.1", kept))  # in the backlog: lost with its listener
    try:
        machine.reload(box.section() + box.forward(kept) + box.forward(other))
        target = await box.target.accept()
        waiting.sendall(b"still here")
        assert await target.receive(10) == b"still here"
        target.close()
    finally:
        waiting.close()


async def test_a_port_in_use_changes_nothing(machine: Machine, boxes: Callable[[], Box]) -> None:
    box, other, old = boxes(), boxes(), free_port()
    before = box.section() + box.forward(old)
    machine.start(before)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port, free = taken.getsockname()[1], free_port()
        more = other.section("other") + other.forward(free, "other") + other.forward(port, "other")
        with pytest.raises(ToxvpnError, match=f"{port}"):
            machine.reload(box.section(more="allow = []") + more)
    assert machine.friends == {box.key}
    assert machine.listens == [f"127.0.0.1:{old}"]
    with pytest.raises(ConnectionRefusedError):
        await Program.connect(free)
    assert machine.reload(before) == []
    await talk(await box.reached(old))


@pytest.mark.parametrize(
    ("before", "after"), [("127.0.0.1", "*"), ("*", "127.0.0.2"), ("127.0.0.1", "127.0.0.2")]
)
async def test_a_port_may_get_other_addresses(
    before: str, after: str, machine: Machine, boxes: Callable[[], Box]
) -> None:
    box, port = boxes(), free_port()
    machine.start(box.section() + box.forward(port, host=before))
    ends = await box.reached(port)
    lines = machine.reload(box.section() + box.forward(port, host=after))
    assert [line.partition(" on ")[0] for line in lines] == ["no longer listening", "listening"]
    await talk(ends)
    await talk(await box.reached(port, "127.0.0.2"))
    if after != "*":
        with pytest.raises(ConnectionRefusedError):
            await Program.connect(port)


async def test_a_listener_that_made_way_is_back_when_the_reload_fails(
    machine: Machine, boxes: Callable[[], Box]
) -> None:
    box, port = boxes(), free_port()
    before = box.section() + box.forward(port, host="*")
    machine.start(before)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        more = "".join(box.forward(port, host=f"127.0.0.{number}") for number in (2, 3))
        more += box.forward(taken.getsockname()[1])
        with pytest.raises(ToxvpnError, match="in use"):
            machine.reload(box.section() + more)
    assert machine.reload(before) == []
    await talk(await box.reached(port))
    await talk(await box.reached(port, "::1"))


async def test_a_port_that_is_kept_is_in_nobodys_way(machine: Machine, boxes: Callable[[], Box]) -> None:
    box, port = boxes(), free_port()
    before = box.section() + box.forward(port)
    machine.start(before)
    with pytest.raises(ToxvpnError, match="in use"):
        machine.reload(before + box.forward(port, host="*"))
    await talk(await box.reached(port))


async def test_a_forward_to_another_peer_keeps_its_listener(
    machine: Machine, boxes: Callable[[], Box]
) -> None:
    one, two, port = boxes(), boxes(), free_port()
    peers = one.section("one") + two.section("two")
    machine.start(peers + one.forward(port, "one"))
    ends = await one.reached(port)
    lines = machine.reload(peers + two.forward(port, "two"))
    assert lines == [f"connections to 127.0.0.1:{port} go elsewhere now"]
    await talk(await two.reached(port))
    await talk(ends)


async def test_a_peer_that_has_another_id_is_another_peer(machine: Machine, boxes: Callable[[], Box]) -> None:
    one, two, port = boxes(), boxes(), free_port()
    machine.start(one.section() + one.forward(port))
    await talk(await one.reached(port))
    assert "peer box changed" in machine.reload(two.section() + two.forward(port))
    assert machine.friends == {two.key}
    await talk(await two.reached(port))


async def test_a_peer_that_goes_and_comes_back_is_reached_again(
    machine: Machine, boxes: Callable[[], Box]
) -> None:
    box, port = boxes(), free_port()
    machine.start(box.section() + box.forward(port))
    await talk(await box.reached(port))
    machine.reload("")
    machine.reload(box.section() + box.forward(port))
    await talk(await box.reached(port))


async def test_streams_of_a_forward_that_went_end_with_the_run(
    machine: Machine, boxes: Callable[[], Box]
) -> None:
    box, port = boxes(), free_port()
    machine.start(box.section() + box.forward(port))
    application, _ = await box.reached(port)
    machine.reload(box.section())
    await machine.services.forwards.close()
    assert await application.is_reset()


# -- peers ----------------------------------------------------------------------------------------


async def test_who_is_not_in_the_file_any_more_is_dismissed(
    machine: Machine, boxes: Callable[[], Box]
) -> None:
    one, two = boxes(), boxes()
    machine.start(one.section("one") + two.section("two"))
    kept = machine.node.peer(two.key)
    await until(lambda: kept is not None and kept.online)
    assert machine.reload(two.section("two")) == ["peer one removed"]
    assert machine.friends == {two.key}
    assert machine.node.peer(two.key) is kept and kept is not None and kept.online
    assert machine.reload(one.section("one") + two.section("two")) == ["peer one added"]
    assert machine.friends == {one.key, two.key}


async def test_our_own_id_changes_nothing(machine: Machine, boxes: Callable[[], Box]) -> None:
    box, port = boxes(), free_port()
    machine.start(box.section())
    own = machine.node.tox.address.hex()
    with pytest.raises(UsageError, match="own Tox ID"):
        machine.reload(box.section() + box.forward(port) + f'[peers.me]\nid = "{own}"\n')
    with pytest.raises(ConnectionRefusedError):
        await Program.connect(port)
    assert machine.reload(box.section()) == []


async def test_grants_are_replaced(machine: Machine, boxes: Callable[[], Box]) -> None:
    box = boxes()
    machine.start(box.section(more='allow = ["localhost:22"]'))
    may = machine.services.may_reach
    assert not may(STRANGER).allows("localhost", 22), "without [server], others reach nothing"
    assert may(box.key).allows("localhost", 22)
    assert machine.reload(box.section(more='allow = ["localhost:22"]')) == []
    assert machine.reload(box.section(more="allow = []")) == ["peer box changed"]
    assert not may(box.key).allows("localhost", 22)
    assert machine.reload(box.section() + '[server]\nallow = ["localhost:80"]') == [
        "peer box changed",
        "[server] changed",
    ]
    assert may(box.key).allows("localhost", 80) and not may(STRANGER).allows("localhost", 80)


async def test_streams_are_judged_again_by_a_reload_and_by_commands(
    machine: Machine, boxes: Callable[[], Box], monkeypatch: pytest.MonkeyPatch
) -> None:
    box = boxes()
    machine.start("[server]\n")
    services, judged = machine.services, []
    monkeypatch.setattr(services._server, "judge_again", lambda: judged.append(services.may_reach(box.key)))
    services.roster.add(ConfiguredPeer(box.key, may=frozenset({May.FORWARDS})))
    services.roster.allow(box.key.hex(), ("localhost:22",))
    services.roster.add(ConfiguredPeer(box.key, may=frozenset({May.VPN})))
    machine.reload('[server]\nallow = ["localhost:80"]\n')
    assert [rules.allows("localhost", 22) for rules in judged] == [True, True, False, False]
    assert judged[0] != judged[1]


async def test_what_a_peer_may_reach_over_the_vpn_is_replaced(
    machine: Machine, boxes: Callable[[], Box]
) -> None:
    box = boxes()
    machine.start("[vpn]\n" + box.section())
    services = machine.services
    assert machine.vpn.reach_of(box.key) is None and services.unlimited() == ["box"]
    machine.reload("[vpn]\n" + box.section(more='allow = ["localhost:22", "printer:80"]'))
    reach = machine.vpn.reach_of(box.key)
    assert reach is not None and list(reach.values()) == ["localhost:22"]
    assert services.unlimited() == []
    with pytest.raises(UsageError, match="has a section for box, which decides"):
        services.roster.allow("box", ())
    services.roster.add(ConfiguredPeer(STRANGER, name="pi"))
    assert machine.vpn.reach_of(STRANGER) is None
    reviews = machine.vpn.reviews
    services.roster.allow("pi", ("icmp",))
    reach = machine.vpn.reach_of(STRANGER)
    assert reach is not None and list(reach.values()) == ["icmp"]
    assert machine.vpn.reviews == reviews + 1, "it is in force at once"


async def test_secrets_are_read_again(machine: Machine, boxes: Callable[[], Box]) -> None:
    box = boxes()
    secret, own = machine.directory / "secret", machine.directory / "box"
    for path in (secret, own):
        path.touch(0o600)
        path.write_text("one")
    text = '[server]\nsecret_file = "secret"\n' + box.section(more='secret_file = "box"')
    machine.start(text)
    assert machine.reload(text) == []
    secret.write_text("two")
    assert machine.reload(text) == ["[server] changed"]
    assert machine.services.now.policy.authority.secret == b"two"
    own.write_text("three")
    assert machine.reload(text) == ["peer box changed"]
    assert machine.services.roster.peers()[box.key].secret == b"three"
    own.unlink()
    with pytest.raises(ConfigError, match="no secret file"):
        machine.reload(text)
    assert machine.services.roster.peers()[box.key].secret == b"three"
    own.touch(0o600)
    own.write_text("three")
    assert machine.reload(text) == []


STRANGER = bytes([9]) * 32
"""Whom a person has let in: no reload may lose that."""


@pytest.mark.parametrize("place", ["forwards", "vpn", "friends"])
async def test_a_reload_that_fails_anywhere_changes_nothing(
    machine: Machine, boxes: Callable[[], Box], monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    one, two, kept, other = boxes(), boxes(), free_port(), free_port()
    text = "[vpn]\n" + one.section("one", 'allow = ["localhost:22"]\nvpn = true') + one.forward(kept, "one")
    machine.start(text)
    friend = machine.base.book
    friend.authorise(STRANGER, Grant.INVITE, 0)
    machine.node.accept(STRANGER)
    ends = await one.reached(kept)
    before = machine.services.now

    def fail(*_: object) -> None:
        monkeypatch.undo()  # what is undone must not fail of it
        raise RuntimeError("what nobody thought of")

    broken = {
        "forwards": (machine.services.callers, "get"),
        "vpn": (machine.vpn, "update_peers"),
        "friends": (machine.node, "accept"),
    }[place]
    monkeypatch.setattr(*broken, fail)
    with pytest.raises(RuntimeError):
        machine.reload("[vpn]\n" + two.section("two", "allow = []") + two.forward(other, "two"))
    assert machine.services.now is before
    assert machine.friends == {one.key, STRANGER}
    assert machine.services.may_reach(one.key).allows("localhost", 22)
    assert machine.listens == [f"127.0.0.1:{kept}"]
    await talk(ends)
    await talk(await one.reached(kept))
    assert machine.reload(text) == []


# -- the VPN and the node -------------------------------------------------------------------------


async def test_who_is_on_the_network(machine: Machine, boxes: Callable[[], Box]) -> None:
    one, two = boxes(), boxes()
    vpn = "[vpn]\nmtu = 1280\noffload = false\n"
    machine.start(vpn + one.section("one") + two.section("two", "vpn = false"))
    assert (machine.vpn.options.mtu, machine.vpn.options.offload) == (1280, False)
    assert machine.vpn.members == {one.key}
    reviews = machine.vpn.reviews
    assert machine.reload(vpn + one.section("one") + two.section("two")) == ["peer two changed"]
    assert machine.vpn.members == {one.key, two.key} and machine.vpn.reviews == reviews + 1


async def test_which_address_a_peer_may_choose(machine: Machine, boxes: Callable[[], Box]) -> None:
    box = boxes()
    machine.start("[vpn]\n" + box.section("box", 'address = "10.9.8.6"'))
    assert machine.vpn.allowed == {box.key: IPv4Address("10.9.8.6")}
    assert machine.reload("[vpn]\n" + box.section("box")) == ["peer box changed"]
    assert machine.vpn.allowed == {}


async def test_what_lies_behind_whom(machine: Machine, boxes: Callable[[], Box]) -> None:
    box, kept = boxes(), boxes()
    granted = 'routes = ["192.168.20.0/24"]\nallow = ["192.168.10.0/24:80"]\nvpn = true'
    machine.start("[vpn]\n" + box.section("box", granted))
    grants = machine.vpn.grants
    assert (grants.name(box.key), grants.name(kept.key)) == ("box", short_key(kept.key))
    assert grants.routes(box.key) == (IPv4Network("192.168.20.0/24"),)
    assert grants.behind(box.key) and not grants.behind(kept.key)
    roster = machine.services.roster
    with pytest.raises(UsageError, match="says which routes of box are used"):
        roster.use_routes("box", "all")
    roster.add(ConfiguredPeer(kept.key, name="kept"))
    assert grants.routes(kept.key) == ()
    roster.use_routes("kept", "all")
    assert (grants.routes(kept.key), machine.vpn.route_changes) == ("all", 1)
    assert machine.reload("[vpn]\n" + box.section("box", 'routes = "all"\nallow = []\nvpn = true')) == [
        "peer box changed"
    ]
    assert grants.routes(box.key) == "all" and grants.behind(box.key), "its rules judge each packet"


async def test_the_exit_is_a_peer_by_its_name_or_key(machine: Machine, boxes: Callable[[], Box]) -> None:
    box, other = boxes(), boxes()
    peers = box.section("box") + other.section("other")
    machine.start(f'[vpn]\nexit = "box"\nexit_lan = false\n{peers}')
    client = machine.vpn.exits.client
    assert client is not None and (client.public_key, client.name) == (box.key, "box")
    assert machine.reload(f'[vpn]\nexit = "other"\n{peers}') == [
        "vpn.exit changed: that takes a restart",
        "vpn.exit_lan changed: that takes a restart",
    ]


async def test_an_exit_that_is_no_peer_is_refused(machine: Machine) -> None:
    with pytest.raises(PeerRefusedError, match="no peer 'box' is known here; name an exit by --peer too"):
        machine.start('[vpn]\nexit = "box"')


async def test_who_may_exit_is_changed_at_once(machine: Machine, boxes: Callable[[], Box]) -> None:
    box = boxes()
    machine.start("[vpn]\n" + box.section("box"))
    assert not machine.vpn.exits.may(box.key)
    assert machine.reload("[vpn]\n" + box.section("box", "may_exit = true")) == ["peer box changed"]
    assert machine.vpn.exits.may(box.key)
    assert machine.vpn.reach_of(box.key) is None and machine.vpn.exits.granted(box.key) == []
    machine.reload("[vpn]\n" + box.section("box", 'may_exit = true\nallow = ["10.0.0.0/24:80"]'))
    reach = machine.vpn.reach_of(box.key)
    assert reach is not None and list(reach.values()) == ["10.0.0.0/24:80", "may_exit", "may_exit"]
    assert machine.vpn.exits.granted(box.key) == [IPv4Network("10.0.0.0/24")]
    assert not machine.vpn.exits.may(bytes(32))


async def test_a_device_that_is_gone_ends_the_run(machine: Machine) -> None:
    machine.start('[vpn]\ninterface = "office"')
    machine.vpn.gone()
    with pytest.raises(ToxvpnError, match="office was removed by somebody else"):
        await machine.base.lifecycle.ended()


@pytest.mark.parametrize(("server", "belongs"), [("", True), ("[server]\nopen = true\n", False)])
async def test_who_came_for_forwards_is_not_on_the_network(
    machine: Machine, boxes: Callable[[], Box], server: str, belongs: bool
) -> None:
    box = boxes()
    machine.start("[vpn]\n" + server)
    machine.node.accept(box.key)
    assert (box.key in machine.vpn.members) is belongs


async def test_our_name_is_changed_at_once(machine: Machine) -> None:
    machine.start('[vpn]\nname = "one"')
    assert machine.reload('[vpn]\nname = "two"') == ["vpn.name changed"]
    said = decode(machine.node.tox.status_message).toxvpn
    assert said is not None and said.name == "two"
    assert [each.name for each in cast(FakeNames, machine.services.names).applied] == ["one", "two"]


RESTARTS: Iterable[tuple[str, str, list[str]]] = [
    ("", "[node]\ntcp_port = 0", ["node.tcp_port changed: that takes a restart"]),
    ("", "[vpn]", ["[vpn] was switched on: that takes a restart"]),
    ("[vpn]", "", ["[vpn] was switched off: that takes a restart"]),
    ("[vpn]", "[vpn]\nmtu = 1280", ["vpn.mtu changed: that takes a restart"]),
    ('[vpn]\ninterface = "a"', '[vpn]\ninterface = "b"', ["vpn.interface changed: that takes a restart"]),
    ("[vpn]", '[vpn]\naddress = "10.1.2.3"', ["vpn.address changed: that takes a restart"]),
    ("[vpn]", "[vpn]\noffload = false", ["vpn.offload changed: that takes a restart"]),
    ("", "", []),
]


@pytest.mark.parametrize(("started", "now", "lines"), RESTARTS)
async def test_what_takes_a_restart_is_told_each_time(
    machine: Machine, started: str, now: str, lines: list[str]
) -> None:
    machine.start(started)
    for _ in range(2):
        assert machine.reload(now) == lines
    assert machine.reload(started) == []


async def test_up_never_serves(machine: Machine) -> None:
    machine.start("[vpn]", forwards=False)
    await asyncio.sleep(0)
    assert machine.services.roads._stack_task is None


async def test_relay_for_names_peers(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    machine.start(f'[node]\nrelay_for = ["Box", "cellar"]\n[peers.box]\nid = "{STRANGER.hex()}"\n')
    assert machine.base.relaying.named() == {STRANGER}
    assert "relay_for names 'cellar', and no peer is called that; see `toxvpn peer list`" in caplog.messages
    assert "'Box'" not in caplog.text
    machine.reload(f'[peers.box]\nid = "{STRANGER.hex()}"\n')
    assert machine.base.relaying.named() == frozenset()
