"""Which commands share a node: the name of the socket, and that its directory is the user's alone."""

import os
import re
import socket
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from toxvpn.config.options import ClientOptions
from toxvpn.control import socketfile
from toxvpn.share import rendezvous as module
from toxvpn.share.rendezvous import NotSharedError, Rendezvous
from toxvpn.tcpforward.spec import RoadPolicy, Target, parse_forward, parse_listen
from toxvpn.wire.toxid import ToxId


@pytest.fixture
def listening(rendezvous: Rendezvous) -> Iterator[socket.socket]:
    with rendezvous.listen() as listener:
        yield listener


def test_what_one_command_wants_makes_no_difference(options: ClientOptions) -> None:
    commands = [
        replace(options, pipe=Target("localhost", 22)),
        replace(options, forwards=(parse_forward("1:a:2"),), socks=(parse_listen("3"),)),
        replace(options, ping=True),
        replace(options, name="box"),
    ]
    assert {Rendezvous(each).path for each in commands} == {Rendezvous(options).path}


OTHERS = {
    "server": ToxId(bytes(32), bytes(4)),
    "secret": b"another",
    "nodes_file": Path("/nodes"),
    "road": RoadPolicy.TUNTOX,
    "udp_ports": (1, 2),
    "tcp_port": 3,
    "toxcore_log": True,
    "udp_segmentation": False,
    "lan_discovery": False,
    "port_mapping": False,
    "keep_streams": 600,
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_the_node_is_like_does(options: ClientOptions, name: str) -> None:
    assert Rendezvous(replace(options, **{name: OTHERS[name]})).path != Rendezvous(options).path  # type: ignore[arg-type]


def test_a_relative_path_means_the_same_file(options: ClientOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/usr")
    near, far = [Rendezvous(replace(options, nodes_file=Path(name))) for name in ("nodes", "/usr/nodes")]
    assert near.path == far.path


def test_nor_do_other_versions_and_switches_meet(
    options: ClientOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [Rendezvous(options).path]
    monkeypatch.setattr(module, "__version__", "another")
    found.append(Rendezvous(options).path)
    monkeypatch.setenv("TOXVPN_CLOCK", "off")
    found.append(Rendezvous(options).path)
    monkeypatch.setenv("LANG", "C")
    found.append(Rendezvous(options).path)
    assert len(set(found)) == 3 and found[2] == found[3]


def test_the_name_tells_nothing_without_the_key(options: ClientOptions) -> None:
    here = Rendezvous(options)
    assert re.fullmatch(r"[0-9a-f]{24}\.sock", here.path.name)
    (here.directory / "key").unlink()
    assert Rendezvous(options).path.name != here.path.name


def test_a_damaged_key_is_made_anew(options: ClientOptions) -> None:
    (Rendezvous(options).directory / "key").write_bytes(b"short")
    assert Rendezvous(options).path == Rendezvous(options).path


def test_all_of_it_is_private(rendezvous: Rendezvous, listening: socket.socket) -> None:
    with rendezvous.lock():
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in rendezvous.directory.iterdir()}
    assert modes == {"key": 0o600, "lock": 0o600, rendezvous.path.name: 0o600}
    assert stat.S_IMODE(rendezvous.directory.stat().st_mode) == 0o700


def test_a_directory_that_others_can_enter_is_not_used(
    options: ClientOptions, rendezvous: Rendezvous
) -> None:
    rendezvous.directory.chmod(0o750)
    with pytest.raises(NotSharedError, match="other users have access"):
        Rendezvous(options)


def test_another_users_directory_is_not_used(
    options: ClientOptions, rendezvous: Rendezvous, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.chown(rendezvous.directory, 4242, 4242)
    with pytest.raises(NotSharedError):
        Rendezvous(options)


def test_no_place_no_sharing(options: ClientOptions, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotSharedError):
        Rendezvous(replace(options, directory=tmp_path / "file"))


def test_without_proc_no_sharing(options: ClientOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    def name(*_: object) -> str:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(module, "_name", name)
    with pytest.raises(NotSharedError, match="No such file"):
        Rendezvous(options)


def test_a_key_that_cannot_be_kept_no_sharing(options: ClientOptions, rendezvous: Rendezvous) -> None:
    (rendezvous.directory / "key").unlink()
    (rendezvous.directory / "key").mkdir()
    with pytest.raises(NotSharedError):
        Rendezvous(options)


def test_a_connection(rendezvous: Rendezvous, listening: socket.socket) -> None:
    connection = rendezvous.connect()
    assert connection is not None
    with connection, listening.accept()[0] as served:
        served.send(b"hello")
        assert connection.recv(100) == b"hello"


def test_nobody_is_there(rendezvous: Rendezvous) -> None:
    assert rendezvous.connect() is None
    rendezvous.listen().close()  # left by one that was killed
    assert rendezvous.connect() is None
    with rendezvous.listen():
        connection = rendezvous.connect()
        assert connection is not None
        connection.close()


def test_another_user_who_listens_gets_nothing(
    rendezvous: Rendezvous, listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socketfile, "credentials", lambda _: socketfile.Credentials(1, os.geteuid() + 1))
    with pytest.raises(NotSharedError, match="another user"):
        rendezvous.connect()


def test_one_that_hangs_is_not_waited_for(rendezvous: Rendezvous, listening: socket.socket) -> None:
    listening.listen(0)
    first = rendezvous.connect()
    assert first is not None
    with first, pytest.raises(NotSharedError):
        rendezvous.connect()


def test_only_one_has_the_lock(rendezvous: Rendezvous) -> None:
    with rendezvous.lock() as got:
        assert got
        with rendezvous.lock(wait=False) as other:
            assert not other
    with rendezvous.lock(wait=False) as got:
        assert got


def test_a_long_path(options: ClientOptions, tmp_path: Path) -> None:
    far = Rendezvous(replace(options, directory=tmp_path / ("x" * 100) / ("y" * 100)))
    with far.listen():
        connection = far.connect()
        assert connection is not None
        connection.close()
