"""The server with the real client, over a real socket."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from toxvpn.control import client, socketfile
from toxvpn.control.protocol import MAX_REQUEST_BYTES, ControlRequest, decode_answer
from toxvpn.control.server import ControlServer
from toxvpn.errors import NotRunningError, PeerOfflineError, ToxvpnError, UsageError
from toxvpn.testing.netns import fork


async def echo(request: ControlRequest) -> object:
    return dict(request.arguments)


async def test_a_request_is_answered(server: ControlServer, ask: Any) -> None:
    server.register("echo", echo)
    assert await ask("echo", text="ä\n", number=1, none=None) == {"text": "ä\n", "number": 1}


async def test_one_connection_serves_many_requests(server: ControlServer) -> None:
    server.register("echo", echo)

    def talk() -> list[Any]:
        with client.ControlClient(server.directory) as connection:
            return [connection.call("echo", n=n) for n in range(3)]

    assert await asyncio.to_thread(talk) == [{"n": 0}, {"n": 1}, {"n": 2}]


async def test_a_large_answer_arrives_whole(server: ControlServer, ask: Any) -> None:
    async def large(_: ControlRequest) -> object:
        return "x" * 5_000_000

    server.register("large", large)
    assert len(await ask("large")) == 5_000_000


async def test_the_error_of_a_handler_is_raised_at_the_client(server: ControlServer, ask: Any) -> None:
    async def fail(_: ControlRequest) -> object:
        raise PeerOfflineError("not\nthere")

    server.register("fail", fail)
    with pytest.raises(PeerOfflineError, match="not there"):
        await ask("fail")


@pytest.mark.parametrize("result", [object(), float("nan"), KeyError("secret")])
async def test_a_bug_in_a_handler_is_told_and_ends_nothing(
    server: ControlServer, ask: Any, caplog: pytest.LogCaptureFixture, result: object
) -> None:
    async def broken(_: ControlRequest) -> object:
        if isinstance(result, Exception):
            raise result
        return result

    server.register("broken", broken)
    server.register("echo", echo)
    with pytest.raises(ToxvpnError, match="internal error") as caught:
        await ask("broken")
    assert "secret" not in str(caught.value)
    assert "'broken' failed" in caplog.text
    assert await ask("echo") == {}


async def test_an_unknown_command(ask: Any) -> None:
    with pytest.raises(UsageError, match="cannot do 'dance'"):
        await ask("dance")


async def raw(server: ControlServer, *pieces: bytes) -> list[bytes]:
    """What comes back for these bytes until the server hangs up or all is answered."""
    reader, writer = await asyncio.open_unix_connection(server.directory / "control.sock")
    lines = []
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
    async with asyncio.timeout(5):
        for _ in b"".join(pieces).split(b"\n")[:-1] or [b""]:
            line = await reader.readline()
            if not line:
                break
            lines.append(line)
    writer.close()
    return lines


@pytest.mark.parametrize(
    "garbage", [b"\n", b"\xff\n", b"{\n", b"[[[[\n", b'{"do": 5}\n', b"GET / HTTP/1.1\r\n"]
)
async def test_garbage_is_answered_and_the_next_request_too(server: ControlServer, garbage: bytes) -> None:
    server.register("echo", echo)
    bad, good = await raw(server, garbage, b'{"do"', b': "echo"}\n')
    assert json.loads(bad)["exit_code"] == 2
    assert decode_answer(good) == {}


async def test_an_endless_line_is_refused(server: ControlServer) -> None:
    (answer,) = await raw(server, b"x" * (MAX_REQUEST_BYTES + 1))
    assert "longer than" in json.loads(answer)["error"]


async def test_a_flood_of_requests_is_refused(server: ControlServer) -> None:
    async def never(_: ControlRequest) -> object:
        return await asyncio.Event().wait()

    server.register("never", never)
    (answer,) = await raw(server, b'{"do": "never"}\n' * 100)
    assert "at once" in json.loads(answer)["error"]


async def test_answers_come_in_the_order_of_the_requests(server: ControlServer) -> None:
    go = asyncio.Event()

    async def slow(_: ControlRequest) -> object:
        await go.wait()
        return "slow"

    async def fast(_: ControlRequest) -> object:
        return "fast"

    server.register("slow", slow)
    server.register("fast", fast)
    asyncio.get_running_loop().call_soon(go.set)
    answers = await raw(server, b'{"do": "slow"}\n{"do": "fast"}\n')
    assert [decode_answer(answer) for answer in answers] == ["slow", "fast"]


async def test_a_slow_request_does_not_hold_up_another_client(server: ControlServer, ask: Any) -> None:
    go = asyncio.Event()

    async def slow(_: ControlRequest) -> object:
        return await go.wait()

    server.register("slow", slow)
    server.register("echo", echo)
    waiting = asyncio.create_task(ask("slow"))
    assert await ask("echo") == {}
    assert not waiting.done()
    go.set()
    assert await waiting is True


async def test_a_client_that_leaves_cancels_what_it_asked_for(server: ControlServer) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def wait(_: ControlRequest) -> object:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return None

    server.register("wait", wait)
    _, writer = await asyncio.open_unix_connection(server.directory / "control.sock")
    writer.write(b'{"do": "wait"}\n')
    await begun.wait()
    writer.close()
    async with asyncio.timeout(5):
        await cancelled.wait()


async def test_closing_ends_sessions_and_removes_the_socket(server: ControlServer, ask: Any) -> None:
    begun = asyncio.Event()

    async def wait(_: ControlRequest) -> object:
        begun.set()
        return await asyncio.Event().wait()

    server.register("wait", wait)
    waiting = asyncio.create_task(ask("wait"))
    await begun.wait()
    server.close()
    server.close()
    with pytest.raises(NotRunningError, match="toxvpn ended"):
        await waiting
    assert list(server.directory.iterdir()) == []
    with pytest.raises(NotRunningError, match="not running"):
        await ask("wait")


async def test_a_second_server_is_refused_and_leaves_the_first_alone(server: ControlServer, ask: Any) -> None:
    server.register("echo", echo)
    second = ControlServer(server.directory)
    with pytest.raises(ToxvpnError, match="another toxvpn runs"):
        await second.start()
    second.close()
    assert await ask("echo") == {}


KILLED = """
import asyncio, sys
from pathlib import Path
from toxvpn.control.server import ControlServer

async def serve():
    await ControlServer(Path(sys.argv[1])).start()
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(serve())
"""


def test_the_socket_of_a_killed_daemon_is_no_obstacle(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as killed:
        assert killed.stdout is not None
        killed.stdout.readline()
        with client.ControlClient(tmp_path) as connection:
            process = connection.process()
            assert process is not None
            assert not process.wait(0)
            killed.send_signal(signal.SIGKILL)
            assert process.wait(10)
            process.close()
            with pytest.raises(NotRunningError, match="toxvpn ended"):
                connection.call("status")
    with pytest.raises(NotRunningError, match="not running"):
        client.call(tmp_path, "status")
    socketfile.listen(tmp_path).close()


def test_not_running_says_how_to_start(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "none", tmp_path / ("long" * 40)):
        with pytest.raises(NotRunningError, match=r"not running .*start it with `toxvpn up`"):
            client.call(directory, "status")


def test_a_daemon_that_does_not_answer_is_told_apart(tmp_path: Path) -> None:
    with (
        socketfile.listen(tmp_path),
        pytest.raises(ToxvpnError, match="running but did not answer 'status'"),
    ):
        client.call(tmp_path, "status", answer_s=0.05)


def test_another_program_at_the_socket(tmp_path: Path) -> None:
    with socketfile.listen(tmp_path) as listener, client.ControlClient(tmp_path) as connection:
        other, _ = listener.accept()
        with other:
            other.sendall(b"220 smtp ready\n")
            with pytest.raises(ToxvpnError, match="cannot understand"):
                connection.call("status")


# -- who may ask ----------------------------------------------------------------------------------

NOBODY = 65534


def as_nobody(directory: Path, work: Callable[[], str]) -> str:
    """What `work` returns in a process of another user, whose working directory is `directory`."""
    receive, send = os.pipe()
    child = fork()
    if child == 0:
        try:
            os.chdir(directory)
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            outcome = work()
        except BaseException as error:
            outcome = f"{type(error).__name__}: {error}"
        os.write(send, outcome.encode())
        os._exit(0)
    os.close(send)
    with os.fdopen(receive) as pipe:
        outcome = pipe.read()
    os.waitpid(child, 0)
    return outcome


def status_here() -> str:
    return str(client.call(Path(), "status", answer_s=10))


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs to become another user")


@needs_root
async def test_another_user_cannot_even_connect(server: ControlServer) -> None:
    server.directory.chmod(0o755)
    outcome = await asyncio.to_thread(as_nobody, server.directory, status_here)
    assert outcome.startswith("NoPermissionError") and "belongs to another user" in outcome


@needs_root
async def test_another_user_who_can_connect_is_refused(
    server: ControlServer, caplog: pytest.LogCaptureFixture
) -> None:
    asked = []

    async def status(request: ControlRequest) -> object:
        asked.append(request)
        return "open sesame"

    server.register("status", status)
    server.directory.chmod(0o755)
    (server.directory / "control.sock").chmod(0o666)
    outcome = await asyncio.to_thread(as_nobody, server.directory, status_here)
    assert outcome == "NoPermissionError: only root and the user that toxvpn runs as may control it"
    assert not asked
    assert f"refused user {NOBODY}" in caplog.text


async def serve_until_killed(ready: int) -> None:
    """In the working directory; says so to `ready`."""
    await ControlServer(Path()).start()
    os.write(ready, b"ready\n")
    await asyncio.Event().wait()


@needs_root
def test_root_may_control_another_users_daemon(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    receive, send = os.pipe()
    child = fork()
    if child == 0:  # without exec: another user may not reach the interpreter
        try:
            os.chdir(tmp_path)
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            asyncio.run(serve_until_killed(send))
        finally:
            os._exit(1)
    os.close(send)
    try:
        with os.fdopen(receive) as pipe:
            assert pipe.readline() == "ready\n"
            with pytest.raises(UsageError, match="cannot do 'status'"):
                client.call(tmp_path, "status")
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_the_type_of_socket(tmp_path: Path) -> None:
    with socketfile.listen(tmp_path) as listener:
        assert (listener.family, listener.type) == (socket.AF_UNIX, socket.SOCK_STREAM)
        assert not listener.get_inheritable()
