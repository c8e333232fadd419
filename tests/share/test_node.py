"""The shared node's end: when it comes, and that nobody is lost on the way."""

import asyncio
import contextlib
import shutil
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from toxvpn.config.options import ClientOptions
from toxvpn.daemon import shared_node
from toxvpn.errors import ConfigError
from toxvpn.process.lifecycle import Lifecycle
from toxvpn.process.notify import Notifier
from toxvpn.share import messages, node
from toxvpn.share.logrelay import NodeLogRelay
from toxvpn.share.rendezvous import Rendezvous
from toxvpn.state.places import find_places
from toxvpn.testing.fake_nodes import until
from toxvpn.testing.forward_pair import ForwardPair, in_time
from toxvpn.testing.shared_node import Running

pytestmark = pytest.mark.real

LISTEN = {"do": "listen", "level": 20, "listeners": []}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "LINGER_S", 0.05)
    monkeypatch.setattr(node, "LINGER_OFFLINE_S", 0.05)
    monkeypatch.setattr(node, "LOOK_AGAIN_S", 0.001)


async def serve(options: ClientOptions, rendezvous: Rendezvous, listener: socket.socket) -> None:
    lifecycle = Lifecycle(Notifier({}))
    await shared_node.serve(
        options, lifecycle, rendezvous=rendezvous, listener=listener, log_relay=NodeLogRelay()
    )


def connected(rendezvous: Rendezvous) -> socket.socket:
    connection = rendezvous.connect()
    assert connection is not None
    connection.setblocking(False)
    return connection


async def receive(connection: socket.socket) -> messages.Message | None:
    """The next message that is no log line."""
    while True:
        await in_time(_readable(connection))
        message, _ = messages.receive(connection)
        if message is None or "log" not in message:
            return message


async def _readable(connection: socket.socket) -> None:
    there = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(connection, there.set)
    await there.wait()
    loop.remove_reader(connection)


class TestIdle:
    async def test_it_ends(self, running: Running, rendezvous: Rendezvous) -> None:
        await in_time(running.ended)
        assert not rendezvous.path.exists() and rendezvous.connect() is None

    async def test_nobody_takes_its_place_before_its_identity_is_free(
        self, running: Running, rendezvous: Rendezvous
    ) -> None:
        await in_time(running.ended)
        with rendezvous.lock(wait=False) as got:
            assert not got
        running.locks.close()
        with rendezvous.lock(wait=False) as got:
            assert got

    async def test_a_command_keeps_it(self, running: Running, rendezvous: Rendezvous) -> None:
        with connected(rendezvous) as command:
            messages.send(command, LISTEN)
            assert await receive(command) == {"taken": True}
            await asyncio.sleep(3 * node.LINGER_S)
            assert not running.ended.done()
        await in_time(running.ended)

    async def test_who_only_looks_does_not_keep_it(
        self, running: Running, rendezvous: Rendezvous, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(node, "LINGER_S", 600.0)
        before = running.node._idle_since_s
        with connected(rendezvous):
            await until(lambda: not running.node.idle)
        await until(lambda: running.node.idle)
        assert running.node._idle_since_s == before

    async def test_who_starts_one_meanwhile_is_waited_for(
        self, running: Running, rendezvous: Rendezvous
    ) -> None:
        with rendezvous.lock():
            await asyncio.sleep(3 * node.LINGER_S)
            assert not running.ended.done()
        await in_time(running.ended)

    async def test_who_is_in_the_queue_is_served(
        self, running: Running, rendezvous: Rendezvous, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await asyncio.sleep(0)
        with connected(rendezvous) as command:
            running.node._leave()
            assert not running.ended.done()
            messages.send(command, LISTEN)
            assert await receive(command) == {"taken": True}

    async def test_a_kept_identity_is_let_go_of_sooner(
        self, running: Running, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(node, "LINGER_S", 600.0)
        monkeypatch.setattr(node, "LINGER_KEPT_S", 0.05)
        running.node._is_kept = True
        running.node._plan_end()
        await in_time(running.ended)

    async def test_without_its_peer_it_does_not_stay(
        self, pair: ForwardPair, running: Running, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(node, "LINGER_S", 600.0)
        running.node._plan_end()
        await asyncio.sleep(2 * node.LINGER_OFFLINE_S)
        assert not running.ended.done()
        pair.network.tox.set_online(False)
        await in_time(running.ended)


class TestGivesWay:
    """To whoever else needs the identity."""

    @pytest.fixture(autouse=True)
    def _patient(self, monkeypatch: pytest.MonkeyPatch, running: Running) -> None:
        monkeypatch.setattr(node, "LINGER_S", 600.0)
        running.node._plan_end()

    async def test_it_ends_at_once(self, running: Running) -> None:
        assert await in_time(running.node.give_way())
        await in_time(running.ended)

    async def test_not_while_a_command_uses_it(self, running: Running, rendezvous: Rendezvous) -> None:
        with connected(rendezvous) as command:
            messages.send(command, LISTEN)
            assert await receive(command) == {"taken": True}
            assert not await in_time(running.node.give_way())
            assert not running.ended.done()

    async def test_who_starts_one_meanwhile_is_waited_for(
        self, running: Running, rendezvous: Rendezvous
    ) -> None:
        with rendezvous.lock():
            giving = asyncio.create_task(running.node.give_way())
            await asyncio.sleep(3 * node.LOOK_AGAIN_S)
            assert not giving.done()
        assert await in_time(giving)
        await in_time(running.ended)


class TestSpeed:
    async def test_what_is_told_and_the_result_reach_the_command(
        self, running: Running, rendezvous: Rendezvous
    ) -> None:
        with connected(rendezvous) as command:
            messages.send(command, {"do": "speed", "level": 30, "seconds": 2.0})
            assert await receive(command) == {"speed": {"phase": "idle"}}
            assert await receive(command) == {"speed": {"phase": "done", "result": {"seconds": 2.0}}}
            assert await receive(command) == {"ended": 0, "text": ""}


class TestWithoutItsDirectory:
    """/run/user/UID is removed when the user logs out."""

    async def test_it_ends(self, running: Running, rendezvous: Rendezvous) -> None:
        shutil.rmtree(rendezvous.directory)
        await in_time(running.ended)
        assert running.streams.stopping.is_set()

    async def test_it_stays_for_the_command_that_it_has(
        self, running: Running, rendezvous: Rendezvous
    ) -> None:
        with connected(rendezvous) as command:
            messages.send(command, LISTEN)
            assert await receive(command) == {"taken": True}
            shutil.rmtree(rendezvous.directory)
            await asyncio.sleep(3 * node.LINGER_S)
            assert not running.ended.done()
        await in_time(running.ended)

    async def test_it_can_be_stopped(
        self, running: Running, rendezvous: Rendezvous, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(node, "LINGER_S", 600.0)
        running.node._plan_end()
        shutil.rmtree(rendezvous.directory)
        running.stop()
        await in_time(running.ended)

    async def test_whatever_goes_wrong_it_ends(
        self, running: Running, rendezvous: Rendezvous, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object, **__: object) -> None:
            raise OSError(24, "Too many open files")

        monkeypatch.setattr(node, "_is_waiting", fail)
        await in_time(running.ended)

    async def test_a_node_that_cannot_be_says_why_to_who_waits(
        self, options: ClientOptions, rendezvous: Rendezvous, tmp_path: Path
    ) -> None:
        listener = rendezvous.listen()
        options = replace(options, nodes_file=tmp_path / "none")
        with connected(rendezvous) as command:
            messages.send(command, LISTEN)
            shutil.rmtree(rendezvous.directory)
            await in_time(asyncio.create_task(serve(options, rendezvous, listener)))
            answer = await receive(command)
            assert answer is not None and answer["ended"] == ConfigError.exit_code


@pytest.mark.parametrize(("level", "logs"), [(20, 1), (30, 0)])
async def test_a_command_is_told_what_its_level_shows(
    running: Running, rendezvous: Rendezvous, level: int, logs: int
) -> None:
    with connected(rendezvous) as other, connected(rendezvous) as command:
        messages.send(other, LISTEN | {"level": 10})  # for this one the node makes all records
        assert await receive(other) == {"taken": True}
        messages.send(command, LISTEN | {"level": level})
        answer: list[messages.Message] = []
        while "taken" not in (answer or [{}])[-1]:
            await in_time(_readable(command))
            answer.append(messages.receive(command)[0] or {"taken": False})
        assert sum("log" in message for message in answer) == logs


class TestBadMessages:
    @pytest.mark.parametrize("said", [b"{", b"{}", b'{"level":"x"}', b'{"level":null}'])
    async def test_is_hung_up_on(self, running: Running, rendezvous: Rendezvous, said: bytes) -> None:
        with connected(rendezvous) as stranger:
            stranger.send(said)
            assert await receive(stranger) is None

    @pytest.mark.parametrize(
        "request_",
        [{"do": "fly"}, {"do": "pipe"}, {"do": "pipe", "target": "x"}, {"do": "pipe", "target": "a:1"},
         {"do": "listen"}, {"do": "listen", "listeners": [{"told": "x", "target": None, "sockets": 1}]}],
        ids=str,
    )  # fmt: skip
    async def test_is_answered(
        self, running: Running, rendezvous: Rendezvous, request_: messages.Message, pair: ForwardPair
    ) -> None:
        if request_.get("target") == "a:1":  # and no descriptors
            request_ = request_ | {"target": str(pair.target.target)}
        with connected(rendezvous) as stranger:
            messages.send(stranger, request_ | {"level": 60})
            answer = await receive(stranger)
            assert answer is not None and answer["ended"] in (1, 2) and answer["text"]
            assert await receive(stranger) is None

    async def test_who_says_nothing_is_not_waited_for(
        self, running: Running, rendezvous: Rendezvous, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("toxvpn.share.session.REQUEST_S", 0.01)
        with connected(rendezvous) as stranger:
            assert await receive(stranger) is None

    async def test_nothing_of_it_is_left(self, running: Running, rendezvous: Rendezvous) -> None:
        before = len(list(Path("/proc/self/fd").iterdir()))
        for request in ({"do": "fly", "level": 60}, {"level": "x"}):
            with connected(rendezvous) as stranger:
                messages.send(stranger, request, [0, 1])
                while await receive(stranger) is not None:
                    pass
        await until(lambda: running.node.idle)
        await until(lambda: len(list(Path("/proc/self/fd").iterdir())) == before)


async def test_a_node_that_cannot_be_says_why(
    options: ClientOptions, rendezvous: Rendezvous, tmp_path: Path
) -> None:
    """And is gone at once."""
    listener = rendezvous.listen()
    options = replace(options, nodes_file=tmp_path / "none")
    with connected(rendezvous) as one, connected(rendezvous) as other:
        messages.send(one, LISTEN)
        messages.send(other, {"do": "ping", "level": 20})
        await in_time(asyncio.create_task(serve(options, rendezvous, listener)))
        for command in (one, other):
            answer = await receive(command)
            assert (
                answer is not None and answer["ended"] == ConfigError.exit_code and "none" in answer["text"]
            )
            assert await receive(command) is None
    assert rendezvous.connect() is None and not rendezvous.path.exists()


@pytest.mark.parametrize("is_kept", [True, False])
async def test_a_node_knows_whether_its_identity_is_on_disk(
    options: ClientOptions,
    rendezvous: Rendezvous,
    pair: ForwardPair,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    is_kept: bool,
) -> None:
    answer: list[bool] = []

    class FakeSharedNode:
        states = give_way = None

        def __init__(self, *_: object, is_kept: bool) -> None:
            answer.append(is_kept)

        async def serve(self) -> None:
            """Ends at once."""

    @contextlib.asynccontextmanager
    async def controlled(*_: object) -> AsyncIterator[None]:
        yield

    @contextlib.asynccontextmanager
    async def running_client(*_: object) -> AsyncIterator[SimpleNamespace]:
        places = find_places(tmp_path) if is_kept else None
        run = SimpleNamespace(node=pair.client_node)
        yield SimpleNamespace(places=places, run=run, streams=None, controlled=controlled)

    monkeypatch.setattr(shared_node, "running_client", running_client)
    monkeypatch.setattr(shared_node, "SharedNode", FakeSharedNode)
    with rendezvous.listen() as listener:
        await in_time(asyncio.create_task(serve(options, rendezvous, listener)))
    assert answer == [is_kept]
