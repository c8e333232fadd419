"""The server listens, the client connects: both sides of -R, from a program's connection to the target."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from toxvpn.errors import ToxvpnError
from toxvpn.tcpforward.budget import DESCRIPTORS
from toxvpn.tcpforward.builtin import as_socket, open_builtin
from toxvpn.tcpforward.caller import Caller
from toxvpn.tcpforward.remote import client, server
from toxvpn.tcpforward.remote.rules import parse_listen_rules
from toxvpn.tcpforward.road import StreamOpenError
from toxvpn.tcpforward.spec import Target
from toxvpn.tcpforward.target import connect_target
from toxvpn.testing.fake_nodes import until
from toxvpn.testing.forward_pair import Program, in_time
from toxvpn.testing.remote_pair import RemotePair
from toxvpn.wire.jsonlines import encode_line
from toxvpn.wire.remotelisten import NAME, VERSION


def is_open(port: int, host: str = "127.0.0.1") -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
        return sock.connect_ex((host, port)) == 0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


async def test_bytes_go_both_ways_to_an_orderly_end(pair: RemotePair) -> None:
    program, target = await pair.joined(await pair.listening(pair.spec()))
    await program.send(b"question")
    assert await target.receive(8) == b"question"
    await target.send(b"answer")
    target.end()
    assert await program.receive_all() == b"answer"
    program.end()
    assert await target.receive_all() == b""


async def test_a_reset_crosses_as_one(pair: RemotePair) -> None:
    program, target = await pair.joined(await pair.listening(pair.spec()))
    target.reset()
    assert await program.is_reset()


async def test_a_target_that_does_not_listen_resets_the_program(pair: RemotePair) -> None:
    program = await pair.connect(await pair.listening(f"127.0.0.1:0:127.0.0.1:{free_port()}"))
    assert await program.is_reset()


async def test_the_target_may_be_a_unix_socket(pair: RemotePair, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as service:
        service.bind(str(tmp_path / "a.sock"))
        service.listen()
        service.setblocking(False)
        program = await pair.connect(await pair.listening(f"127.0.0.1:0:{tmp_path}/a.sock"))
        await program.send(b"question")
        accepted, _ = await in_time(asyncio.get_running_loop().sock_accept(service))
    target = Program(accepted)
    assert await target.receive(8) == b"question"
    await target.send(b"answer")
    target.close()
    assert await program.receive_all() == b"answer"


async def test_the_server_listens_at_a_path_that_a_rule_names(pair: RemotePair, tmp_path: Path) -> None:
    path = tmp_path / "there.sock"
    pair.rules = parse_listen_rules(["*:*", f"unix:{path}"])
    forwarding = pair.remote(f"{path}:{pair.target.host}:{pair.target.port}")
    running = pair.run(forwarding)
    await until(lambda: forwarding.state.problem is None)
    assert forwarding.state.listen == f"box: {path}" and path.stat().st_mode & 0o777 == 0o600
    program = pair.keep(Program(socket.socket(socket.AF_UNIX)))
    program.socket.connect(str(path))
    await program.send(b"question")
    assert await (await pair.accept()).receive(8) == b"question"
    second = pair.run(pair.remote(f"{path}:{pair.target.host}:{pair.target.port}"))
    with pytest.raises(ToxvpnError, match="its log says why"):
        await in_time(second)
    running.cancel()
    await until(lambda: not path.exists())


@pytest.mark.parametrize("rule", ["*:*", "unix:/run/other.sock"])
async def test_a_path_that_no_rule_names_is_refused(pair: RemotePair, tmp_path: Path, rule: str) -> None:
    pair.rules = parse_listen_rules([rule])
    path = tmp_path / "there.sock"
    with pytest.raises(ToxvpnError, match=f"needs 'unix:{path}'"):
        await in_time(pair.run(pair.remote(f"{path}:localhost:80")))
    assert not path.exists()


async def test_a_file_that_is_there_already_stays(pair: RemotePair, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("mine")
    pair.rules = parse_listen_rules([f"unix:{path}"])
    with pytest.raises(ToxvpnError, match="its log says why"):
        await in_time(pair.run(pair.remote(f"{path}:localhost:80")))
    assert path.read_text() == "mine"


async def test_a_port_of_the_servers_choice_is_told_once(pair: RemotePair) -> None:
    port = await pair.listening(pair.spec("0"))
    assert is_open(port) and is_open(port, "::1")
    assert pair.told == [f"allocated port {port} for remote forward to {pair.target.target}"]


async def test_both_sides_show_it(pair: RemotePair) -> None:
    forwarding = pair.remote(pair.spec())
    assert forwarding.state.problem == "the peer has not answered yet"
    pair.run(forwarding)
    await until(lambda: forwarding.state.problem is None)
    (here,) = pair.listeners.states()
    program, target = await pair.joined(int(here.listen.rpartition(":")[2]))
    await until(lambda: forwarding.state.streams == 1)
    there, (here,) = forwarding.state, pair.listeners.states()
    assert there.listen == f"box: {here.listen}"
    assert (there.remote, here.remote) == ("there", "here")
    assert (there.streams, here.streams) == (1, 1)
    assert there.target == str(pair.target.target) and pair.client_peer.short in here.target
    program.close()
    target.close()
    await until(lambda: forwarding.state.streams == pair.listeners.states()[0].streams == 0)


async def test_it_ends_with_the_client(pair: RemotePair) -> None:
    taken = DESCRIPTORS.taken
    forwarding = pair.remote(pair.spec())
    task = pair.run(forwarding)
    await until(lambda: forwarding.state.problem is None)
    port = int(forwarding.state.listen.rpartition(":")[2])
    task.cancel()
    await until(lambda: not is_open(port))
    assert pair.listeners.states() == []
    await until(lambda: DESCRIPTORS.taken == taken)


async def test_its_streams_end_with_the_client(pair: RemotePair) -> None:
    forwarding = pair.remote(pair.spec())
    task = pair.run(forwarding)
    await until(lambda: forwarding.state.problem is None)
    program, target = await pair.joined(int(forwarding.state.listen.rpartition(":")[2]))
    await until(lambda: forwarding.state.streams == 1)
    task.cancel()
    assert await program.is_reset() and await target.is_reset()


async def test_a_stream_that_is_not_open_yet_ends_with_the_client_too(
    pair: RemotePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_connect = asyncio.Event()

    async def connect_later(*arguments: Any) -> socket.socket:
        await may_connect.wait()
        return await connect_target(*arguments)

    monkeypatch.setattr(client, "connect_target", connect_later)
    forwarding = pair.remote(pair.spec())
    task = pair.run(forwarding)
    await until(lambda: forwarding.state.problem is None)
    program = await pair.connect(int(forwarding.state.listen.rpartition(":")[2]))
    task.cancel()
    await asyncio.wait([task])
    may_connect.set()
    assert await program.is_reset()


async def test_its_streams_outlive_the_control_stream(pair: RemotePair) -> None:
    program, target = await pair.joined(await pair.listening(pair.spec()))
    (held,) = pair.listeners._held
    held.control.end()
    await until(lambda: held not in pair.listeners._held)
    await program.send(b"still here")
    assert await target.receive(10) == b"still here"


# -- refusals -------------------------------------------------------------------------------------


async def test_what_no_rule_allows_is_refused(pair: RemotePair) -> None:
    pair.rules = parse_listen_rules(["8080"])
    with pytest.raises(ToxvpnError, match=r"box may not listen on 127.0.0.1:8081.*needs '8081'"):
        await in_time(pair.run(pair.remote(pair.spec("localhost:8081"))))
    assert pair.listeners.states() == []


async def test_of_loopback_it_gets_what_is_allowed(pair: RemotePair) -> None:
    pair.rules = parse_listen_rules(["127.0.0.1:*"])
    port = await pair.listening(pair.spec("0"))
    assert is_open(port) and not is_open(port, "::1")


async def test_a_port_in_use_is_refused(pair: RemotePair) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        with pytest.raises(ToxvpnError, match=r"box cannot listen on .*: the port is in use there"):
            await in_time(pair.run(pair.remote(pair.spec(f"127.0.0.1:{port}"))))


async def test_an_address_that_the_server_does_not_have(pair: RemotePair) -> None:
    with pytest.raises(ToxvpnError, match="give an address of that machine"):
        await in_time(pair.run(pair.remote(pair.spec("192.0.2.1:8080"))))


async def test_more_listeners_than_a_peer_may_have(pair: RemotePair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_LISTENERS", 1)
    await pair.listening(pair.spec())
    with pytest.raises(ToxvpnError, match="as many listeners for this machine as it may"):
        await in_time(pair.run(pair.remote(pair.spec())))


async def test_a_peer_has_no_more_listeners_by_asking_for_all_at_once(
    pair: RemotePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_LISTENERS", 1)
    all_wait = asyncio.Barrier(3)

    async def check(_: Caller) -> None:
        await all_wait.wait()

    monkeypatch.setattr(server, "_check_fast", check)
    asked = [pair.run(pair.remote(f"udp/{pair.spec()}")) for _ in range(3)]
    await until(lambda: sum(each.done() for each in asked) == 2)
    assert len(pair.listeners.states()) == 1


async def test_a_server_that_does_not_know_it(pair: RemotePair) -> None:
    await pair.server_builtins.close()
    pair.server_builtins._offered.clear()
    with pytest.raises(ToxvpnError, match=r"box does not listen on .*: the peer's toxvpn does not have this"):
        await in_time(pair.run(pair.remote(pair.spec())))


async def test_one_of_config_toml_is_asked_for_again(
    pair: RemotePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "AGAIN_S", 0.01)
    pair.rules = parse_listen_rules([])
    forwarding = pair.remote(pair.spec())
    pair.run(forwarding, keep_trying=True)
    await until(lambda: "may not listen" in str(forwarding.state.problem))
    pair.rules = parse_listen_rules(["localhost:*"])
    await until(lambda: forwarding.state.problem is None)


async def test_a_right_that_is_taken_back_ends_the_listener(pair: RemotePair) -> None:
    port = await pair.listening(pair.spec())
    program, target = await pair.joined(port)
    pair.listeners.recheck()
    assert is_open(port)
    pair.rules = parse_listen_rules(["8080"])
    pair.listeners.recheck()
    assert not is_open(port)
    await program.send(b"goes on")
    assert await target.receive(7) == b"goes on"


# -- two that want one port -----------------------------------------------------------------------


async def test_the_second_of_one_client_is_refused_while_the_first_is_there(pair: RemotePair) -> None:
    port = await pair.listening(pair.spec())
    with pytest.raises(ToxvpnError, match="the port is in use there"):
        await in_time(pair.run(pair.remote(pair.spec(f"127.0.0.1:{port}"))))
    assert is_open(port)


async def test_a_client_gets_its_port_back_from_its_dead_predecessor(
    pair: RemotePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "PROBE_S", 0.05)
    sock, ending = as_socket(await in_time(open_builtin(pair.caller, NAME, VERSION)))
    with sock:  # one that answers no ping
        port = free_port()
        ask = {"listen": ["127.0.0.1"], "port": port, "to": "0" * 32}
        await asyncio.get_running_loop().sock_sendall(sock, encode_line(ask))
        await until(lambda: is_open(port))
        assert await pair.listening(pair.spec(f"127.0.0.1:{port}")) == port
        await pair.joined(port)
        assert await in_time(asyncio.get_running_loop().sock_recv(sock, 1000))  # ListenGrant, and a ping
        assert await in_time(asyncio.get_running_loop().sock_recv(sock, 1)) == b""
        ending.cancel()


async def test_a_port_stays_with_another_peer_unless_it_is_away_for_long(
    pair: RemotePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = pair.network.node()
    for node in (pair.server_node, other):
        node.accept((other if node is pair.server_node else pair.server_node).tox.public_key)
    await pair.listening(pair.spec())
    (held,) = pair.listeners._held
    asking = pair.server_node.peer(other.tox.public_key)
    assert asking is not None
    assert await pair.listeners._keeps(held, asking)
    pair.network.tox.online = False
    await until(lambda: not held.peer.online)
    assert await pair.listeners._keeps(held, asking)
    monkeypatch.setattr(server, "AWAY_S", 0.0)
    assert not await pair.listeners._keeps(held, asking)


# -- what else may happen to it -------------------------------------------------------------------


async def test_the_client_asks_again_when_the_server_has_forgotten_it(
    pair: RemotePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "AGAIN_S", 0.01)
    port = await pair.listening(pair.spec("0"))
    (held,) = pair.listeners._held
    pair.listeners._end(held)
    await until(lambda: len(pair.listeners.states()) == 1)
    (state,) = pair.listeners.states()
    assert state.listen == f"127.0.0.1:{port}, [::1]:{port}"
    assert len(pair.told) == 1


async def test_a_peer_that_is_back_and_knows_of_nothing_is_asked_again(
    pair: RemotePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the server was killed, and no reset came."""
    monkeypatch.setattr(client, "AGAIN_S", 0.01)
    monkeypatch.setattr(client, "SURE_S", 0.05)
    monkeypatch.setattr(client, "PONG_S", 0.05)
    await pair.listening(pair.spec())
    (first,) = pair.listeners._held
    monkeypatch.setattr(first.control, "_take", lambda message: None)
    monkeypatch.setattr(server, "PROBE_S", 0.05)
    await until(lambda: bool(pair.listeners._held) and first not in pair.listeners._held)


# -- hostile peers --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [b"GET / HTTP/1.1\r\n\r\n", b"x" * 5000, b'{"port":1}\n{"listen":7}\n', b'{"refused":"x"}\n', b"\xff\n"],
)
async def test_what_is_no_request_ends_its_stream_alone(pair: RemotePair, said: bytes) -> None:
    sock, ending = as_socket(await in_time(open_builtin(pair.caller, NAME, VERSION)))
    with sock:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(sock, said)
        assert await in_time(loop.sock_recv(sock, 100)) == b""
        sock.close()
        await in_time(ending)
    assert pair.listeners.states() == []
    await pair.listening(pair.spec())


async def reachable(pair: RemotePair, host: str, port: int) -> bool:
    """Whether the server can open a stream to that at the client."""
    back = Caller(pair.server_node, pair.client_peer, pair.server_road)
    try:
        (await in_time(back.open(Target(host, port)))).abort()
    except StreamOpenError:
        return False
    finally:
        back.close()
    return True


async def test_the_server_reaches_the_target_of_the_client_and_nothing_else(pair: RemotePair) -> None:
    """A hostile server: it knows the name that it was given, and tries every other."""
    forwarding = pair.remote(pair.spec())
    task = pair.run(forwarding)
    await until(lambda: forwarding.state.problem is None)
    name = f"@remote-{forwarding._token}"
    assert await reachable(pair, name, VERSION)
    for host, port in [
        (pair.target.host, pair.target.port),
        ("localhost", pair.target.port),
        (name, 2),
        (name, pair.target.port),
        (name.upper(), VERSION),
        (name[:-1], VERSION),
        (name + ".", VERSION),
        ("@remote-", VERSION),
        ("@remote-" + "0" * 32, VERSION),
        (f"@remote-{forwarding._token}@localhost", VERSION),
        ("@listen", VERSION),
        ("@", VERSION),
    ]:
        assert not await reachable(pair, host, port), (host, port)
    task.cancel()
    await asyncio.wait([task])
    assert not await reachable(pair, name, VERSION)


async def test_the_name_is_for_the_server_that_was_asked(pair: RemotePair) -> None:
    forwarding = pair.remote(pair.spec())
    pair.run(forwarding)
    await until(lambda: forwarding.state.problem is None)
    passage = pair.client_builtins._offered[f"@remote-{forwarding._token}"]
    assert passage.may(pair.server_node.tox.public_key)
    assert not passage.may(pair.client_node.tox.public_key) and not passage.may(bytes(32))


async def test_a_client_cannot_send_connections_elsewhere_than_to_itself(pair: RemotePair) -> None:
    """Whatever it says, programs at the server's listener come to the client, or nowhere."""
    sock, ending = as_socket(await in_time(open_builtin(pair.caller, NAME, VERSION)))
    with sock:
        ask = {"listen": ["127.0.0.1"], "port": 0, "to": "0" * 32, "target": "localhost:22", "host": "a"}
        await asyncio.get_running_loop().sock_sendall(sock, encode_line(ask))
        await until(lambda: bool(pair.listeners.states()))
        port = int(pair.listeners.states()[0].listen.rpartition(":")[2])
        program = pair.keep(await Program.connect(port))
        assert await program.is_reset()
        ending.cancel()
