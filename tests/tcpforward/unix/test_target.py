"""Unix sockets as targets: only a rule that names one opens it, and no link of another user leads there."""

import asyncio
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from toxvpn.tcpforward.rules import EVERYTHING, Rules, parse_rule, parse_rules
from toxvpn.tcpforward.server import ForwardServer
from toxvpn.tcpforward.target import TargetRefusedError
from toxvpn.tcpforward.unix import target as module
from toxvpn.tcpforward.unix.paths import WIRE_PORT
from toxvpn.tcpforward.unix.place import open_place
from toxvpn.tcpforward.unix.target import connect_unix
from toxvpn.testing.netns import SOMEBODY
from toxvpn.tox.peer import Peer
from toxvpn.wire.socks5 import ReplyCode

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for two users")


@pytest.fixture
def path(tmp_path: Path, no_descriptor_is_left: None) -> Path:
    return tmp_path / "a.sock"


@pytest.fixture
def service(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(0)
        yield listening


def naming(path: Path) -> Rules:
    return parse_rules(f"unix:{path}", "rule")


async def refusal(path: str | Path, rules: Rules) -> TargetRefusedError:
    with pytest.raises(TargetRefusedError) as refused:
        await connect_unix(str(path), rules, timeout_s=0.05)
    return refused.value


async def test_a_path_that_a_rule_names_is_connected(path: Path, service: socket.socket) -> None:
    end = await ForwardServer(lambda _: naming(path)).serve(Peer(0, bytes(32)), str(path), WIRE_PORT)
    connection, _ = service.accept()
    os.write(end.write_fd, b"hello")
    assert connection.recv(9) == b"hello"
    connection.close()
    end.close(clean=True)


@pytest.mark.parametrize(
    "rules",
    [
        EVERYTHING,
        parse_rules("*:*\n*:1\n[::/0]:0\n0.0.0.0/0:1", "rule"),
        parse_rules("unix:/run/other.sock", "rule"),
        Rules(parse_rules("unix:/x/a.sock", "rule").rules, within=parse_rules("*:*", "rule")),
    ],
)
async def test_nothing_else_opens_one(path: Path, service: socket.socket, rules: Rules) -> None:
    assert (await refusal(path, rules)).code is ReplyCode.NOT_ALLOWED


async def test_who_may_not_reach_it_learns_nothing(
    path: Path, service: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "open_place", lambda path: pytest.fail("it was looked at"))
    there, missing = await refusal(path, EVERYTHING), await refusal(f"{path}x", EVERYTHING)
    assert there.code is missing.code is ReplyCode.NOT_ALLOWED
    assert "allow = " in str(there)


@pytest.mark.parametrize("text", ["%s/../a.sock", "%s%%00", "%s\0", "%s/%%2e%%2e/a.sock", "%s\n"])
async def test_paths_that_are_none_are_refused(path: Path, service: socket.socket, text: str) -> None:
    assert (await refusal(text % path, naming(path))).code is ReplyCode.NOT_ALLOWED


def test_what_is_kept_for_a_peer_opens_one_where_the_server_limits_nothing() -> None:
    kept = (parse_rule("unix:/run/a.sock"),)
    assert Rules(kept, within=EVERYTHING).allows_path("/run/a.sock")
    assert not Rules(kept, within=parse_rules("*:*", "rule")).allows_path("/run/a.sock")


@pytest.mark.parametrize(
    "line", ["unix:run/a", "unix:/run/*", "unix:/", "unix:", "unix:/a/../b", "unix:localhost:22"]
)
def test_bad_rules(line: str) -> None:
    with pytest.raises(ValueError, match="expected host:port"):
        parse_rule(line)


def test_a_rule_means_nothing_over_the_vpn_or_to_hosts() -> None:
    rules = parse_rules("unix:/run/a.sock", "rule")
    assert rules.on_network() == {}
    assert not rules.allows("/run/a.sock", 1)
    assert not rules.may_lead("localhost", 1)


async def test_what_is_missing_or_stale_or_not_a_socket_is_refused(path: Path) -> None:
    assert (await refusal(path, naming(path))).code is ReplyCode.CONNECTION_REFUSED
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
    assert (await refusal(path, naming(path))).code is ReplyCode.CONNECTION_REFUSED
    path.unlink()
    path.write_text("")
    refused = await refusal(path, naming(path))
    assert refused.code is ReplyCode.CONNECTION_REFUSED
    assert "not a socket" in str(refused)


async def test_one_whose_queue_is_full_is_waited_for(path: Path, service: socket.socket) -> None:
    with socket.socket(socket.AF_UNIX) as first:
        first.connect(str(path))
        assert (await refusal(path, naming(path))).code is ReplyCode.TIMED_OUT
        connecting = asyncio.create_task(connect_unix(str(path), naming(path)))
        await asyncio.sleep(0)
        assert not connecting.done()
        service.accept()[0].close()
        (await connecting).close()


async def test_links_of_root_and_ours_are_followed(path: Path, service: socket.socket) -> None:
    (path.parent / "dir").symlink_to(path.parent)
    (path.parent / "b.sock").symlink_to("dir/./a.sock")
    wanted = path.parent / "dir" / "b.sock"
    (await connect_unix(str(wanted), naming(wanted))).close()


@as_root
@pytest.mark.parametrize("name", ["link.sock", "dir/a.sock"])
async def test_links_of_another_user_are_not_followed(path: Path, service: socket.socket, name: str) -> None:
    (path.parent / "link.sock").symlink_to(path)
    (path.parent / "dir").symlink_to(path.parent)
    wanted = path.parent / name
    os.chown(path.parent / Path(name).parts[0], SOMEBODY, SOMEBODY, follow_symlinks=False)
    refused = await refusal(wanted, naming(wanted))
    assert refused.code is ReplyCode.NOT_ALLOWED
    assert "another user" in str(refused)


async def test_links_that_lead_to_themselves_end(path: Path) -> None:
    path.symlink_to(path)
    assert (await refusal(path, naming(path))).code is ReplyCode.CONNECTION_REFUSED


async def test_the_socket_that_was_looked_at_is_the_one_that_is_connected(
    path: Path, service: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = path.parent / "other"
    other.mkdir()
    here = path.parent / "here"
    here.mkdir()
    shutil.move(path, here / "a.sock")

    def replaced_meanwhile(wanted: str) -> int:
        descriptor = open_place(wanted)
        here.rename(path.parent / "gone")
        here.symlink_to(other)
        return descriptor

    monkeypatch.setattr(module, "open_place", replaced_meanwhile)
    (await connect_unix(str(here / "a.sock"), naming(here / "a.sock"))).close()
    service.accept()[0].close()
