"""Real commands on a shared node: what they are tied to, how they end, and that little is loaded for them."""

import asyncio
import json
import os
import signal
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from toxvpn import descriptors
from toxvpn._native import toxcore
from toxvpn._native.flaws import ANNOUNCE
from toxvpn._native.net import netio
from toxvpn.config.options import ClientOptions
from toxvpn.control import socketfile
from toxvpn.errors import ConfigError
from toxvpn.share import messages
from toxvpn.share.command import run
from toxvpn.share.rendezvous import NotSharedError, Rendezvous
from toxvpn.testing.fake_nodes import until
from toxvpn.testing.forward_pair import ForwardPair, Program
from toxvpn.testing.remote_pair import RemotePair
from toxvpn.testing.shared_node import ID, Command, Commands, Running, free_port

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("running")]

NOISE = os.urandom(300_000)
NOTHING_LISTENS = "127.0.0.1:1"


async def piped(commands: Commands, pair: ForwardPair, *arguments: str) -> tuple[Command, Program]:
    """A command with -P, and the target that it has reached."""
    command = await commands.start("-P", str(pair.target.target), *arguments)
    return command, await pair.accept()


async def joined(commands: Commands, pair: ForwardPair, *arguments: str) -> tuple[Command, Program]:
    """The same, and both know it."""
    command, target = await piped(commands, pair, *arguments)
    await target.send(b"x")
    assert await command.read(1) == b"x"
    return command, target


class TestPipe:
    async def test_both_directions_to_their_ends(self, commands: Commands, pair: ForwardPair) -> None:
        command, target = await piped(commands, pair)
        await command.write(b"question")
        command.end_stdin()
        assert await target.receive_all() == b"question"
        await target.send(NOISE)
        target.close()
        assert await command.receive_all() == NOISE
        assert (await command.code(), await command.rest_of_stderr()) == (0, "")

    async def test_its_stdout_ends_when_the_target_has_said_all(
        self, commands: Commands, pair: ForwardPair
    ) -> None:
        command, target = await piped(commands, pair)
        await target.send(b"all")
        target.end()
        assert await command.receive_all() == b"all"
        await command.write(b"more")
        assert await target.receive(4) == b"more"
        command.end_stdin()
        assert await command.code() == 0

    async def test_a_refused_target_is_one_line_and_255(self, commands: Commands) -> None:
        command = await commands.start("-P", NOTHING_LISTENS)
        assert await command.code() == 255
        said = await command.rest_of_stderr()
        assert said.startswith(f"toxvpn: {NOTHING_LISTENS}: ") and "connection refused" in said
        assert said.count("\n") == 1

    async def test_a_reset_is_255(self, commands: Commands, pair: ForwardPair) -> None:
        command, target = await piped(commands, pair)
        target.reset()
        assert await command.code() == 255
        assert "broke" in await command.rest_of_stderr()

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
    async def test_a_signal_resets_its_stream(
        self, commands: Commands, pair: ForwardPair, number: signal.Signals
    ) -> None:
        command, target = await joined(commands, pair)
        command.process.send_signal(number)
        assert await command.code() == 128 + number
        assert await target.is_reset()

    async def test_killing_it_resets_its_stream(self, commands: Commands, pair: ForwardPair) -> None:
        command, target = await joined(commands, pair)
        command.process.kill()
        assert await target.is_reset()

    async def test_many_at_once(self, commands: Commands, pair: ForwardPair) -> None:
        started = await asyncio.gather(*(commands.start("-P", str(pair.target.target)) for _ in range(5)))
        for number, command in enumerate(started):
            await command.write(b"%d" % number)
        for _ in started:
            target = await pair.accept()
            await target.send(await target.receive(1))
            target.end()
        for number, command in enumerate(started):
            assert await command.receive_all() == b"%d" % number

    async def test_without_stdin_it_does_not_begin(self, commands: Commands) -> None:
        script = "import os, sys; os.close(0); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
        command = await commands.start("-P", NOTHING_LISTENS, boot=("-c", script, "-m", "toxvpn"))
        assert await command.code() == 255
        assert "stdin or stdout is closed" in await command.rest_of_stderr()


class TestListeners:
    async def test_a_forward(self, commands: Commands, pair: ForwardPair) -> None:
        port = free_port()
        command = await commands.start("-L", f"{port}:{pair.target.target}")
        said = await command.line("listening")
        assert said == f"INFO: listening: 127.0.0.1:{port}, [::1]:{port} -> {pair.target.target}\n"
        for host in ("127.0.0.1", "::1"):
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
                sock.setblocking(False)
                await asyncio.get_running_loop().sock_connect(sock, (host, port))
                application, target = Program(sock), await pair.accept()
                await application.send(b"question")
                assert await target.receive(8) == b"question"

    async def test_the_other_direction(
        self, commands: Commands, running: Running, remote: RemotePair
    ) -> None:
        running.streams.caller, running.streams.builtins = remote.caller, remote.client_builtins
        command = await commands.start("-R", f"0:{remote.target.target}")
        assert str(remote.target.target) in await command.line("listening: 127.0.0.1:")
        told = (await command.read(len("allocated port 12345"))).decode()
        assert told.startswith("allocated port ")
        program, target = await remote.joined(int(told.split()[2]))
        await program.send(b"question")
        assert await target.receive(8) == b"question"
        (state,) = running.node.states()
        assert (state.remote, state.streams) == ("there", 1)
        command.process.kill()
        assert await program.is_reset()
        await until(lambda: not remote.listeners.states())

    async def test_a_refusal_to_listen_is_one_line_and_1(
        self, commands: Commands, running: Running, remote: RemotePair
    ) -> None:
        running.streams.caller, running.streams.builtins = remote.caller, remote.client_builtins
        command = await commands.start("-q", "-R", f"*:8080:{remote.target.target}")
        assert await command.code() == 1
        said = await command.rest_of_stderr()
        assert "may not listen on 0.0.0.0:8080" in said and "needs '*:8080'" in said
        assert said.count("\n") == 1

    async def test_a_forward_of_udp(self, commands: Commands, pair: ForwardPair) -> None:
        port = free_port()
        command = await commands.start("-L", f"udp/{port}:localhost:53")
        said = await command.line("listening")
        assert said == f"INFO: listening: udp/127.0.0.1:{port}, [::1]:{port} -> localhost:53\n"
        await command.line("udp/localhost:53: UDP needs the fast road")  # which this pair has not

    async def test_a_socks5_proxy(self, commands: Commands, pair: ForwardPair) -> None:
        port = free_port()
        command = await commands.start("-D", str(port))
        await command.line("-> socks5")
        application = await pair.connect(port)
        await application.send(b"\5\1\0")
        assert await application.receive(2) == b"\5\0"
        await application.send(b"\5\1\0\1\x7f\0\0\1" + pair.target.port.to_bytes(2, "big"))
        assert (await application.receive(10))[:2] == b"\5\0"
        target = await pair.accept()
        await target.send(b"greeting")
        assert await application.receive(8) == b"greeting"

    async def test_a_signal_frees_the_port_and_resets_what_runs(
        self, commands: Commands, pair: ForwardPair
    ) -> None:
        port = free_port()
        command = await commands.start("-L", f"{port}:{pair.target.target}")
        await command.line("listening")
        application, target = await pair.connect(port), await pair.accept()
        await target.send(b"x")
        assert await application.receive(1) == b"x"
        command.process.send_signal(signal.SIGTERM)
        assert await command.code() == 143
        assert await application.is_reset() and await target.is_reset()
        socket.create_server(("127.0.0.1", port)).close()

    async def test_it_does_not_end_before_the_node_has_let_go(
        self, commands: Commands, rendezvous: Rendezvous
    ) -> None:
        rendezvous.path.unlink()
        with rendezvous.listen() as listener:  # a node in slow motion
            command = await commands.start("-L", f"{free_port()}:localhost:1")
            connection, _ = await asyncio.to_thread(listener.accept)
            with connection:
                descriptors.close(messages.receive(connection)[1])
                messages.send(connection, {"taken": True})
                command.process.send_signal(signal.SIGTERM)
                assert await asyncio.to_thread(connection.recv, 1) == b""
                messages.send(connection, {"log": 10, "name": "toxvpn", "text": "it still listens"})
        assert await command.code() == 143

    async def test_a_port_in_use_is_told(self, commands: Commands) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            command = await commands.start("-L", f"{taken.getsockname()[1]}:localhost:1")
            assert await command.code() == 1
        assert "the port is in use" in await command.rest_of_stderr()

    async def test_another_node_takes_them_over(
        self, commands: Commands, pair: ForwardPair, rendezvous: Rendezvous, running: Running
    ) -> None:
        """As after a kill: the first one is not found any more, and its connections end without a word."""
        port = free_port()
        command = await commands.start("-L", f"{port}:{pair.target.target}")
        await command.line("listening")
        rendezvous.path.unlink()
        async with Running(pair, rendezvous) as other:
            running.hang_up()
            await command.line("was lost")
            await command.line("listening")
            application, target = await pair.connect(port), await pair.accept()
            await application.send(b"x")
            assert await target.receive(1) == b"x"
            assert len(other.node.states()) == 1


async def test_a_ping(commands: Commands) -> None:
    command = await commands.start("-p")
    assert await command.receive_all() == b"pong\n"
    assert await command.code() == 0


class TestTheNodeEnds:
    async def test_pipes_are_255(self, commands: Commands, pair: ForwardPair, running: Running) -> None:
        command, target = await joined(commands, pair)
        running.stop()
        assert await command.code() == 255
        assert "was stopped" in await command.rest_of_stderr()
        assert await target.is_reset()

    async def test_listeners_end_as_with_a_node_of_their_own(
        self, commands: Commands, running: Running
    ) -> None:
        command = await commands.start("-L", f"{free_port()}:localhost:1")
        await command.line("listening")
        running.stop()
        assert await command.code() == 0

    async def test_a_lost_node_is_255(self, commands: Commands, pair: ForwardPair, running: Running) -> None:
        command, _ = await joined(commands, pair)
        running.hang_up()
        assert await command.code() == 255
        assert "was lost" in await command.rest_of_stderr()


class TestTheLog:
    async def test_a_command_hears_of_the_peer(self, commands: Commands, pair: ForwardPair) -> None:
        command = await commands.start("-L", f"{free_port()}:localhost:1")
        await command.line(f"peer {pair.peer.short}: udp (a node that runs already)")
        await command.line("listening")
        pair.network.tox.set_online(False)
        await command.line(f"INFO: peer {pair.peer.short}: none")

    async def test_what_goes_wrong_for_one_is_not_told_to_the_others(
        self, commands: Commands, pair: ForwardPair, running: Running
    ) -> None:
        ports = free_port(), free_port()
        one, other = [await commands.start("-L", f"{port}:{NOTHING_LISTENS}") for port in ports]
        await one.line("listening"), await other.line("listening")
        assert await (await pair.connect(ports[0])).is_reset()
        await one.line(f"WARNING: {NOTHING_LISTENS}: ")
        running.stop()
        assert "WARNING" not in await other.rest_of_stderr()

    async def test_only_what_its_level_shows(self, commands: Commands, pair: ForwardPair) -> None:
        command, _ = await joined(commands, pair, "-q")
        pair.network.tox.set_online(False)
        assert await command.code() == 255
        assert (await command.rest_of_stderr()).startswith("toxvpn: ")

    async def test_each_is_told_that_strangers_can_harm_the_node(
        self, commands: Commands, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(toxcore, "FLAW", ANNOUNCE)
        monkeypatch.setattr(netio, "shield", lambda: netio.Hook(False, "TOXVPN_SOCKETS=off"))
        for command in [await commands.start("-p", "-q") for _ in range(2)]:
            await command.line(f"ERROR: libtoxcore {toxcore.version()}: any stranger can crash it")


OWN_NODE: list[dict[str, Any]] = [
    {"share": False},
    {"id_file": Path("id")},
    {"daemonize": True},
    {"pid_file": Path("pid")},
    {"user": "nobody"},
    {"metrics_port": 1},
]


@pytest.mark.parametrize("asked", OWN_NODE, ids=str)
def test_who_has_a_node_of_its_own(options: ClientOptions, asked: dict[str, Any]) -> None:
    with pytest.raises(NotSharedError):
        run(replace(options, **asked))


def test_a_service_has_a_node_of_its_own(options: ClientOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/nonexistent")
    with pytest.raises(NotSharedError):
        run(options)


async def test_a_node_that_cannot_be_is_one_line_and_its_code(commands: Commands, tmp_path: Path) -> None:
    """This one is started: a real one, which ends before it sends anything."""
    command = await commands.start("-b", str(tmp_path / "none"), "-P", NOTHING_LISTENS)
    assert await command.code() == ConfigError.exit_code
    said = await command.rest_of_stderr()
    assert said.startswith("toxvpn: ") and f"{tmp_path}/none" in said and said.count("\n") == 1


HEAVY = {"asyncio", "platformdirs", "pyroute2", "rich", "subprocess", "toxvpn._native.toxcore", "toxvpn.tun"}
LOADED = """
import sys
from toxvpn.cli import main
assert main.run(sys.argv[1:]) == 0
print(*sys.modules, file=sys.stderr)
"""


async def test_little_is_loaded(commands: Commands, pair: ForwardPair) -> None:
    command = await commands.start("-P", str(pair.target.target), boot=("-c", LOADED))
    command.end_stdin()
    (await pair.accept()).close()
    loaded = set((await command.rest_of_stderr()).split())
    assert await command.code() == 0
    assert "toxvpn.share.command" in loaded and HEAVY.isdisjoint(loaded)


async def test_a_stranger_is_not_served(
    pair: ForwardPair, rendezvous: Rendezvous, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = socketfile.Credentials(1, os.geteuid() + 1)
    monkeypatch.setattr(socketfile, "credentials", lambda _: found)
    with socketfile.connect_to(rendezvous.path, 5, messages.KIND) as stranger:
        messages.send(stranger, {"do": "listen", "listeners": [], "level": 60})
        assert await asyncio.to_thread(messages.receive, stranger) == (None, [])


class TestSpeed:
    SPEED = ("speed", str(ID), "--json", "--time", "7")

    async def test_the_result_is_printed(self, commands: Commands, running: Running) -> None:
        command = await commands.start_verb(*self.SPEED)
        assert json.loads(await command.receive_all()) == {"seconds": 7}
        assert await command.code() == 0

    async def test_a_signal_ends_the_test(self, commands: Commands, running: Running) -> None:
        running.streams.measured.clear()
        command = await commands.start_verb(*self.SPEED)
        await until(lambda: any(session.understood for session in running.node.sessions))
        command.process.send_signal(signal.SIGINT)
        assert (await command.code(), await command.receive_all()) == (128 + signal.SIGINT, b"")
        await until(lambda: not running.node.sessions)
