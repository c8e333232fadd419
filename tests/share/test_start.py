"""One node, however many commands need one at once."""

import contextlib
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from toxvpn.config.options import ClientOptions
from toxvpn.errors import ConfigError
from toxvpn.share import messages, start
from toxvpn.share.rendezvous import NotSharedError, Rendezvous, for_node
from toxvpn.tcpforward.spec import Target

pytestmark = pytest.mark.real


def test_first_commands_at_once_start_one(
    options: ClientOptions, rendezvous: Rendezvous, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[socket.socket] = []
    found: list[socket.socket] = []
    two, listen = threading.Barrier(2), Rendezvous.listen

    def listen_slowly(rendezvous: Rendezvous) -> socket.socket:
        with contextlib.suppress(threading.BrokenBarrierError):  # nobody else comes
            two.wait(0.2)
        return listen(rendezvous)

    monkeypatch.setattr(Rendezvous, "listen", listen_slowly)
    monkeypatch.setattr(start, "start", lambda _, listener, __: started.append(listener.dup()))
    commands = [
        threading.Thread(target=lambda: found.append(start.connect_or_start(Rendezvous(options), options)))
        for _ in range(8)
    ]
    for command in commands:
        command.start()
    for command in commands:
        command.join()
    assert (len(started), len(found)) == (1, 8)
    for each in started + found:
        each.close()


def test_one_that_was_killed_is_replaced(
    options: ClientOptions, rendezvous: Rendezvous, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendezvous.listen().close()
    with rendezvous.listen() as kept:
        monkeypatch.setattr(start, "start", lambda _, listener, __: kept.close())
        connection = start.connect_or_start(rendezvous, options)
    connection.close()


def test_what_killed_ones_left_is_removed(
    options: ClientOptions, rendezvous: Rendezvous, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [Rendezvous(replace(options, tcp_port=port)) for port in (1, 2)]
    others[0].listen().close()
    kept: list[socket.socket] = []
    monkeypatch.setattr(start, "start", lambda _, listener, __: kept.append(listener.dup()))
    with others[1].listen():
        start.connect_or_start(rendezvous, options).close()
        assert set(rendezvous.directory.glob("*.sock")) == {others[1].path, rendezvous.path}
    kept.pop().close()


def test_one_that_does_not_start(
    options: ClientOptions, rendezvous: Rendezvous, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    with pytest.raises(NotSharedError, match="cannot start a shared node"):
        start.connect_or_start(rendezvous, options)


def test_a_process_gets_the_options_and_the_listener(options: ClientOptions, tmp_path: Path) -> None:
    """This one cannot be: no packet is sent."""
    options = replace(options, nodes_file=tmp_path / "none", pipe=Target("localhost", 22), secret=b"a guess")
    rendezvous = Rendezvous(options)
    with rendezvous.listen() as listener:
        connection = rendezvous.connect()
        node = start.start(rendezvous, listener, options)
    shown = Path(f"/proc/{node.pid}/cmdline").read_bytes() + Path(f"/proc/{node.pid}/environ").read_bytes()
    assert connection is not None
    with connection:
        messages.send(connection, {"do": "ping", "level": 20})
        answer, _ = messages.receive(connection)
    assert answer == {"ended": ConfigError.exit_code, "text": answer and answer["text"]}
    assert answer and f"{tmp_path}/none" in answer["text"]
    assert node.wait(10) == 0
    assert b"a guess" not in shown and str(options.server).encode() not in shown
    assert "a guess" not in repr(for_node(options))


def test_it_outlives_the_command(options: ClientOptions, tmp_path: Path) -> None:
    """It is in a session of its own, and holds nothing of the command's terminal."""
    options = replace(options, nodes_file=tmp_path / "none")
    rendezvous = Rendezvous(options)
    with rendezvous.listen() as listener:
        node: subprocess.Popen[bytes] = start.start(rendezvous, listener, options)
    stat = Path(f"/proc/{node.pid}/stat").read_text().rpartition(")")[2].split()
    assert int(stat[3]) == node.pid  # proc_pid_stat(5): session
    node.kill()
    node.wait()
