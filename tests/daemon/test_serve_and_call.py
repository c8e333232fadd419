"""A server and its clients as the daemon puts them together; on a real network: netns/test_forward.py."""

import asyncio
import contextlib
import logging
import os
import socket
import stat
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from toxvpn.config.options import ClientOptions, SpeedRequest
from toxvpn.daemon import identity, silence
from toxvpn.daemon.client import call
from toxvpn.daemon.daemon import serve
from toxvpn.errors import ConfigError, LinkError, PeerRefusedError, ToxvpnError
from toxvpn.process.lifecycle import Lifecycle
from toxvpn.process.notify import Notifier
from toxvpn.state.identity import IdentityInUseError
from toxvpn.tcpforward import pipe
from toxvpn.tcpforward.ends import StdioEnd
from toxvpn.tcpforward.spec import Forward, Listen, RoadPolicy, Target
from toxvpn.tcpforward.speed import client as speed_client
from toxvpn.testing.fake_nodes import until
from toxvpn.testing.fake_tox import FakeNetwork, FakeTox
from toxvpn.testing.forward_pair import Program, TargetProgram, in_time
from toxvpn.testing.options import server_options
from toxvpn.wire.speed import book
from toxvpn.wire.toxid import ToxId, parse_tox_id

HERE = "127.0.0.1"
SECRET = b"known to both"
Runs = Callable[[Any], "asyncio.Task[None]"]


class Daemons:
    """Starts servers and clients with options that suit a test."""

    def __init__(self, runs: Runs, directory: Path, nodes_file: Path, network: FakeNetwork) -> None:
        self.directory = directory
        self._runs = runs
        self._common = {"nodes_file": nodes_file}
        self._network = network

    async def serve(self, **options: Any) -> tuple[ToxId, "asyncio.Task[None]"]:
        """A server in `directory`, once it is in the network; it has a secret unless told otherwise."""
        known = set(self._network.members)
        rights = {"secret": SECRET} if not {"secret", "whitelist", "open"} & set(options) else {}
        made = server_options(**({"directory": self.directory / "server"} | self._common | rights | options))
        running = self._runs(serve(made, Lifecycle(Notifier({}))))
        await until(lambda: set(self._network.members) - known or running.done())
        if running.done():
            running.result()
        [key] = set(self._network.members) - known
        return parse_tox_id(self._network.members[key].address.hex()), running

    def call(self, server: ToxId, **options: Any) -> "asyncio.Task[None]":
        usual = {"secret": SECRET, "road": RoadPolicy.TUNTOX}
        made = ClientOptions(**(self._common | usual | {"server": server} | options))
        return self._runs(call(made, Lifecycle(Notifier({}))))

    def tox(self, tox_id: ToxId) -> FakeTox:
        return self._network.members[tox_id.public_key]


@pytest.fixture
def daemons(runs: Runs, tmp_path: Path, nodes_file: Path, network: FakeNetwork) -> Daemons:
    return Daemons(runs, tmp_path, nodes_file, network)


@pytest.fixture
async def target() -> AsyncIterator[TargetProgram]:
    made = TargetProgram()
    yield made
    made.close()


@pytest.fixture
def port() -> int:
    with socket.create_server((HERE, 0)) as probe:
        found: int = probe.getsockname()[1]
    return found


def forward(port: int, target: TargetProgram) -> tuple[Forward, ...]:
    return (Forward(Listen((HERE,), port), target.target),)


async def connected(port: int) -> Program:
    """As soon as somebody listens."""
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(ConnectionRefusedError):
                return await Program.connect(port)
            await asyncio.sleep(0)


async def echoes(port: int, target: TargetProgram) -> bool:
    application = await connected(port)
    await application.send(b"hello")
    accepted = await target.accept()
    received = await accepted.receive(5)
    application.close()
    accepted.close()
    return received == b"hello"


class TestSpeed:
    """On this road; the fast one: tests/tcpforward/speed/test_fast_road.py."""

    @pytest.fixture(autouse=True)
    def quickly(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(speed_client, "IDLE_S", 0.05)
        monkeypatch.setattr(speed_client, "PING_INTERVAL_S", 0.02)
        monkeypatch.setattr(book, "LEAST_S", 0.1)

    async def test_is_measured_and_told(self, daemons: Daemons) -> None:
        server, _ = await daemons.serve(allow_speed=True)
        told: list[Mapping[str, Any]] = []
        await in_time(daemons.call(server, speed=SpeedRequest(0.1, told.append)))
        assert told[-1]["phase"] == "done"
        assert told[-1]["result"]["public_key"] == server.public_key.hex().upper()
        assert told[-1]["result"]["up"]["bytes"] > 0

    async def test_is_not_for_who_came_by_the_secret(
        self, daemons: Daemons, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        server, _ = await daemons.serve()
        with pytest.raises(PeerRefusedError, match="does not let this machine test its speed"):
            await in_time(daemons.call(server, speed=SpeedRequest(0.1, lambda _: None)))
        assert "@speed: speed tests are for who is on the network or was named here" in caplog.text


async def test_without_a_secret_the_silence_of_a_peer_is_told(
    daemons: Daemons, caplog: pytest.LogCaptureFixture, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "SILENCE_S", 0.1)
    stranger = ToxId(bytes([9]) * 32, bytes(4))
    forwards = (Forward(Listen((HERE,), port), Target(HERE, 9)),)
    daemons.call(stranger, forwards=forwards, secret=None, name="far")
    await until(lambda: "peer far (09090909): no answer" in caplog.text)


class TestForwards:
    async def test_go_through_to_the_target(self, daemons: Daemons, target: TargetProgram, port: int) -> None:
        server, _ = await daemons.serve()
        daemons.call(server, forwards=forward(port, target))
        assert await echoes(port, target)

    async def test_socks5_goes_the_same_way(self, daemons: Daemons, target: TargetProgram, port: int) -> None:
        server, _ = await daemons.serve()
        daemons.call(server, socks=(Listen((HERE,), port),))
        application = await connected(port)
        await application.send(b"\5\1\0\5\1\0\1\x7f\0\0\1" + target.port.to_bytes(2) + b"hello")
        accepted = await target.accept()
        assert await accepted.receive(5) == b"hello"
        application.close()
        accepted.close()

    async def test_end_with_the_client(self, daemons: Daemons, target: TargetProgram, port: int) -> None:
        server, _ = await daemons.serve()
        client = daemons.call(server, forwards=forward(port, target))
        application = await connected(port)
        await application.send(b"x")
        accepted = await target.accept()
        assert await accepted.receive(1) == b"x"
        client.cancel()
        assert await accepted.is_reset()
        assert await application.is_reset()
        application.close()
        accepted.close()

    async def test_only_to_what_the_rules_allow(
        self, daemons: Daemons, target: TargetProgram, port: int, tmp_path: Path
    ) -> None:
        rules = tmp_path / "rules"
        rules.write_text("localhost:1\n")
        server, _ = await daemons.serve(rules_file=rules)
        daemons.call(server, forwards=forward(port, target))
        application = await connected(port)
        assert await application.is_reset()
        application.close()

    async def test_a_port_in_use_is_told_before_anything(
        self, daemons: Daemons, target: TargetProgram
    ) -> None:
        server, _ = await daemons.serve()
        with pytest.raises(ToxvpnError, match=f"cannot listen on {HERE}:{target.port}"):
            await in_time(daemons.call(server, forwards=forward(target.port, target)))


class TestWhoIsLetIn:
    async def refused(
        self, daemons: Daemons, server: ToxId, log: pytest.LogCaptureFixture, **client: Any
    ) -> str:
        """Why a client is not; it is no friend afterwards."""
        before = daemons.tox(server).friend_list()
        calling = daemons.call(server, ping=True, **client)
        await until(lambda: "ignored: " in log.text or calling.done())
        assert not calling.done()
        assert daemons.tox(server).friend_list() == before
        return log.text.partition("ignored: ")[2].partition("\n")[0]

    async def test_not_with_another_secret(self, daemons: Daemons, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        server, _ = await daemons.serve()
        assert "secret is wrong" in await self.refused(daemons, server, caplog, secret=b"a guess")
        assert "a guess" not in caplog.text and SECRET.decode() not in caplog.text

    async def test_not_without_a_secret(self, daemons: Daemons, caplog: pytest.LogCaptureFixture) -> None:
        server, _ = await daemons.serve()
        assert await self.refused(daemons, server, caplog, secret=None)

    async def test_not_who_is_not_on_the_whitelist(
        self, daemons: Daemons, caplog: pytest.LogCaptureFixture
    ) -> None:
        server, _ = await daemons.serve(whitelist=frozenset({b"\1" * 32}))
        assert await self.refused(daemons, server, caplog) == "not on the whitelist"

    async def test_with_the_secret_that_the_server_made(
        self, daemons: Daemons, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        """It is kept in a private file, and in no log."""
        caplog.set_level(logging.DEBUG)
        server, _ = await daemons.serve(secret=None)
        kept = daemons.directory / "server" / "secret"
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        secret = kept.read_bytes().strip()
        assert f"--secret-file FILE  # FILE: a copy of {kept}" in caplog.text
        assert secret.decode() not in caplog.text
        await in_time(daemons.call(server, ping=True, secret=secret))

    async def test_a_key_on_the_whitelist(
        self, daemons: Daemons, network: FakeNetwork, tmp_path: Path
    ) -> None:
        other, running = await daemons.serve(directory=tmp_path / "client")
        running.cancel()
        await asyncio.wait({running})
        server, _ = await daemons.serve(whitelist=frozenset({other.public_key}))
        await in_time(daemons.call(server, ping=True, secret=None, directory=tmp_path / "client"))

    async def test_everybody_when_open(self, daemons: Daemons, caplog: pytest.LogCaptureFixture) -> None:
        server, _ = await daemons.serve(open=True)
        assert "everybody who knows the Tox ID" in caplog.text
        await in_time(daemons.call(server, ping=True, secret=None))


class TestRestart:
    async def test_keeps_the_identity_and_who_was_let_in(self, daemons: Daemons, tmp_path: Path) -> None:
        server, running = await daemons.serve()
        await in_time(daemons.call(server, ping=True, directory=tmp_path / "client"))
        [friend] = daemons.tox(server).friend_list()
        key = daemons.tox(server).friend_public_key(friend)
        running.cancel()
        await asyncio.wait({running})
        again, _ = await daemons.serve()
        assert again == server
        assert [
            daemons.tox(server).friend_public_key(number) for number in daemons.tox(server).friend_list()
        ] == [key]

    async def test_with_another_secret_forgets_them(self, daemons: Daemons) -> None:
        server, running = await daemons.serve()
        await in_time(daemons.call(server, ping=True))
        running.cancel()
        await asyncio.wait({running})
        await daemons.serve(secret=b"another")
        assert not daemons.tox(server).friend_list()

    async def test_beside_a_running_one_is_refused(
        self, daemons: Daemons, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await daemons.serve()
        monkeypatch.setattr(identity, "gives_way", lambda _: False)  # here it would wait for its own loop
        with pytest.raises(IdentityInUseError, match="in use"):
            await daemons.serve()


class TestWords:
    async def test_the_id_is_alone_on_stdout_and_in_the_file(
        self, daemons: Daemons, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        server, _ = await daemons.serve(id_file=tmp_path / "id")
        assert capsys.readouterr().out == f"{server}\n"
        assert (tmp_path / "id").read_text() == f"{server}\n"

    async def test_how_to_connect_without_the_given_secret(
        self, daemons: Daemons, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        server, _ = await daemons.serve()
        assert f"toxvpn -i {server} -L 2222:localhost:22" in caplog.text
        assert SECRET.decode() not in caplog.text

    async def test_a_ping_names_the_path(self, daemons: Daemons, capsys: pytest.CaptureFixture[str]) -> None:
        server, _ = await daemons.serve()
        await in_time(daemons.call(server, ping=True))
        assert f"pong from {str(server)[:8]} via udp in " in capsys.readouterr().out

    async def test_rules_that_cannot_be_read(self, daemons: Daemons, tmp_path: Path) -> None:
        with pytest.raises(ConfigError):
            await daemons.serve(rules_file=tmp_path / "missing")


class TestPipe:
    @pytest.fixture
    def stdio(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
        """stdin is empty; where stdout goes."""
        path = tmp_path / "stdout"
        stdin, stdout = os.open(os.devnull, os.O_RDONLY), os.open(path, os.O_WRONLY | os.O_CREAT)
        monkeypatch.setattr(pipe, "StdioEnd", lambda: StdioEnd(stdin, stdout))
        return path

    async def test_to_the_target_and_the_end(
        self, daemons: Daemons, target: TargetProgram, stdio: Path
    ) -> None:
        server, _ = await daemons.serve()
        piping = daemons.call(server, pipe=target.target)
        accepted = await target.accept()
        await accepted.send(b"greeting")
        accepted.close()
        await in_time(piping)
        assert stdio.read_bytes() == b"greeting"

    async def test_to_a_target_that_refuses(
        self, daemons: Daemons, target: TargetProgram, stdio: Path
    ) -> None:
        server, _ = await daemons.serve()
        target.close()
        with pytest.raises(LinkError, match="refused"):
            await in_time(daemons.call(server, pipe=target.target))
