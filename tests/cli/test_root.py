"""`toxvpn` without a verb: which flags make which options, and what a mistake is answered with."""

import os
import platform
from pathlib import Path
from typing import Any

import pytest

from toxvpn._native import toxcore
from toxvpn._native.flaws import ANNOUNCE
from toxvpn._native.net import netio
from toxvpn.config.options import ClientOptions
from toxvpn.tcpforward.spec import RoadPolicy, parse_forward, parse_listen, parse_target
from toxvpn.testing.options import server_options
from toxvpn.wire.toxid import ToxId, parse_tox_id

ID = str(ToxId(bytes(range(32)), b"\1\2\3\4"))
OTHER = str(ToxId(bytes(32), bytes(4)))
KEY = ID[:64]
WRONG_DIGIT = ("1" if ID[0] == "0" else "0") + ID[1:]
CLIENT = ("-i", ID, "-L", "8080:localhost:80")


def test_alone_it_is_a_server(toxvpn: Any) -> None:
    ran = toxvpn()
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    assert ran.options == server_options()


SERVERS: list[tuple[list[str], dict[str, Any]]] = [
    (["-i", ID], {"whitelist": {bytes.fromhex(KEY)}}),
    (["-i", KEY.lower(), "-i", OTHER], {"whitelist": {bytes.fromhex(KEY), bytes(32)}}),
    (["--open"], {"open": True}),
    (["-D"], {"daemonize": True}),
    (["-D", "-q"], {"daemonize": True}),
    (["-z"], {"daemonize": True}),
    (["-f", "rules"], {"rules_file": Path("rules")}),
    (["-C", "dir", "-b", "nodes.json", "-I", "id"],
     {"directory": Path("dir"), "nodes_file": Path("nodes.json"), "id_file": Path("id")}),
    (["-u", "33445:33450", "-t", "0"], {"udp_ports": (33445, 33450), "tcp_port": 0}),
    (["-u", "33445", "-t", "3389"], {"udp_ports": (33445, 33445), "tcp_port": 3389}),
    (["-d"], {"toxcore_log": False}),
    (["-dd"], {"toxcore_log": True}),
    (["-d", "-d"], {"toxcore_log": True}),
]  # fmt: skip


@pytest.mark.parametrize(("flags", "expected"), SERVERS, ids=[" ".join(flags)[:30] for flags, _ in SERVERS])
def test_server_flags(
    toxvpn: Any, flags: list[str], expected: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rules").write_text("localhost:22\n")
    monkeypatch.chdir(tmp_path)
    ran = toxvpn(*flags)
    assert (ran.code, ran.err) == (0, "")
    assert ran.options == server_options(**expected)


CLIENTS: list[tuple[list[str], dict[str, Any]]] = [
    (["-L", "8080:localhost:80"], {"forwards": (parse_forward("8080:localhost:80"),)}),
    (["-L", "1:a:2", "-L", "[::1]:3:[::1]:4"],
     {"forwards": (parse_forward("1:a:2"), parse_forward("[::1]:3:[::1]:4"))}),
    (["-L", "2222@localhost@22"], {"forwards": (parse_forward("2222:localhost:22"),)}),
    (["-D", "1080"], {"socks": (parse_listen("1080"),)}),
    (["-D1080"], {"socks": (parse_listen("1080"),)}),
    (["-z", "-D", "1080"], {"socks": (parse_listen("1080"),), "daemonize": True}),
    (["-D", "127.0.0.1:1080", "-L", "1:a:2"],
     {"socks": (parse_listen("127.0.0.1:1080"),), "forwards": (parse_forward("1:a:2"),)}),
    (["-D", "-D", "1080"], {"socks": (parse_listen("1080"),), "daemonize": True}),
    (["-L", "1:a:2", "-D"], {"forwards": (parse_forward("1:a:2"),), "daemonize": True}),
    (["-P", "localhost:22"], {"pipe": parse_target("localhost:22")}),
    (["-W", "[::1]:22"], {"pipe": parse_target("[::1]:22")}),
    (["-p"], {"ping": True}),
    (["-p", "--road", "fast"], {"ping": True, "road": RoadPolicy.FAST}),
    (["-P", "localhost:22", "--no-share"], {"pipe": parse_target("localhost:22"), "share": False}),
    (["-p", "-C", "dir"], {"ping": True, "directory": Path("dir")}),
]  # fmt: skip


@pytest.mark.parametrize(("flags", "expected"), CLIENTS, ids=[" ".join(flags) for flags, _ in CLIENTS])
def test_client_flags(toxvpn: Any, flags: list[str], expected: dict[str, Any]) -> None:
    ran = toxvpn("-i", ID, *flags)
    assert (ran.code, ran.err) == (0, "")
    assert ran.options == ClientOptions(server=parse_tox_id(ID), **expected)


MISTAKES: list[tuple[list[str], str]] = [
    (["-L", "8080:localhost:80"], "the server's Tox ID is missing: add -i ID"),
    (["-p"], "the server's Tox ID is missing"),
    (["-i", ID, "-i", OTHER, "-p"], "one server: give -i once"),
    (["-i", KEY, "-p"], "is a public key; the Tox ID has 76 digits"),
    (["-i", ID[:-1], "-p"], "it has 75 digits"),
    (["-i", WRONG_DIGIT, "-p"], "checksum"),
    (["-i", "nonsense"], "-i 'nonsense' is not a Tox ID"),
    (["-i", ID, "-L", "8080"], "-L '8080': parts are missing; expected [bind:]port:host:hostport"),
    (["-i", ID, "-L", "8080:localhost"], "-L '8080:localhost': parts are missing"),
    (["-i", ID, "-L", "99999:a:1"], "port 99999 is out of range: 1 to 65535"),
    (["-i", ID, "-L", "1:::1:80"], "too many parts"),
    (["-i", ID, "-P", "localhost"], "-P 'localhost': parts are missing; expected host:port"),
    (["-i", ID, "-D", "id"], "-D 'id': the port 'id' is not a number; expected [bind:]port"),
    (["-i", ID, "-P", "a:1", "-P", "b:1"], "-P (or -W)"),
    (["-i", ID, "-P", "a:1", "-L", "1:b:1"], "-P (or -W)"),
    (["-i", ID, "-W", "a:1", "-D", "1080"], "-P (or -W)"),
    (["-i", ID, "-P", "a:1", "-D"], "needs stdin and stdout"),
    (["-i", ID, "-W", "a:1", "-z"], "needs stdin and stdout"),
    (["-i", ID, "-p", "-z"], "-p prints what it measured"),
    (["-i", ID, "-p", "-L", "1:b:1"], "-p only measures"),
    ([*CLIENT, "-f", "rules"], "-f is for the server"),
    ([*CLIENT, "--open"], "--open is for the server"),
    (["--road", "fast"], "--road is for the client"),
    (["--no-share"], "--no-share is for the client"),
    ([*CLIENT, "--road", "slow"], "'auto', 'fast', 'tuntox'"),
    (["--open", "-i", ID], "--open lets everybody in"),
    (["--open", "-s", "x"], "--open lets everybody in"),
    (["-s", ""], "shared secret is empty"),
    (["-s", "x" * 1016], "1016 bytes, a friend request holds 1015"),
    (["-s", "x", "--secret-file", "f"], "leave one out"),
    (["-u", "5:"], "-u: must be FIRST:LAST, two port numbers from 1 to 65535, not '5:'"),
    (["-u", "6:5"], "-u: must be FIRST:LAST, two port numbers from 1 to 65535, not '6:5'"),
    (["-u", "0"], "-u: must be FIRST:LAST, two port numbers from 1 to 65535, not '0'"),
    (["-u", "1:65536"], "-u: must be FIRST:LAST, two port numbers from 1 to 65535, not '1:65536'"),
    (["-u", "²"], "-u: must be FIRST:LAST, two port numbers from 1 to 65535, not '²'"),
    (["-t", "-1"], "-t: must be a port number, or 0 for no relay, not '-1'"),
    (["-t", "65536"], "-t: 65536 is out of range: 0 to 65535"),
    (["-q", "-d"], "-q logs less and -d more"),
    (["-L"], "option '-L' requires an argument"),
    (["-x"], "no such option"),
    (["bogus"], "there is no command 'bogus': see toxvpn -h"),
    ([ID], "a Tox ID needs its flag: -i ID"),
    (["8080:localhost:80"], "needs its flag: -L or -R to forward"),
    (["-i", ID, "-L", "1:a:1", "localhost:22"], "needs its flag"),
    (["-z", "id"], "only -C, -b, -d and -q go before 'id'"),
    (["-s", "x", "id"], "only -C, -b, -d and -q go before 'id'"),
    (["--open", "id"], "only -C, -b, -d and -q go before 'id'"),
]


@pytest.mark.parametrize(
    ("arguments", "message"), MISTAKES, ids=[" ".join(words)[-40:] for words, _ in MISTAKES]
)
def test_a_mistake_is_answered_by_one_helpful_line(toxvpn: Any, arguments: list[str], message: str) -> None:
    ran = toxvpn(*arguments)
    assert ran.code == 2
    assert ran.out == "" and ran.started == []
    *warnings, line = ran.err.splitlines()
    assert line.startswith("toxvpn: ") and message in line
    assert "Traceback" not in ran.err
    assert all(line.startswith("WARNING: a secret given with -s") for line in warnings)


# -- the secret -----------------------------------------------------------------------------------


@pytest.mark.parametrize("client", [False, True])
def test_a_secret_on_the_command_line_works_with_a_warning(toxvpn: Any, client: bool) -> None:
    ran = toxvpn("-s", "s3cret", *(CLIENT if client else ()))
    assert ran.secret == b"s3cret"
    assert "--secret-file" in ran.err and "s3cret" not in ran.err


@pytest.mark.parametrize("name", ["TOXVPN_SHARED_SECRET", "TUNTOX_SHARED_SECRET"])
def test_a_secret_in_the_environment_is_used_and_not_handed_on(
    toxvpn: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "s3cret")
    ran = toxvpn()
    assert (ran.secret, ran.err) == (b"s3cret", "")
    assert name not in os.environ


def test_our_own_variable_goes_first_and_flags_before_it(
    toxvpn: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNTOX_SHARED_SECRET", "tuntox")
    monkeypatch.setenv("TOXVPN_SHARED_SECRET", "toxvpn")
    assert toxvpn().secret == b"toxvpn"
    monkeypatch.setenv("TOXVPN_SHARED_SECRET", "toxvpn")
    assert toxvpn("-s", "flag").secret == b"flag"


def test_an_empty_variable_is_a_mistake_not_an_open_door(
    toxvpn: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOXVPN_SHARED_SECRET", "")
    ran = toxvpn()
    assert (ran.code, ran.started) == (2, [])
    assert "empty" in ran.err


def test_a_secret_of_any_bytes(toxvpn: Any) -> None:
    assert toxvpn("-s", os.fsdecode(b"\xff\xe9")).secret == b"\xff\xe9"


def test_a_secret_file(toxvpn: Any, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("s3cret\n")
    path.chmod(0o600)
    ran = toxvpn("--secret-file", path)
    assert (ran.secret, ran.err) == (b"s3cret", "")
    path.chmod(0o644)
    ran = toxvpn("--secret-file", path)
    assert (ran.code, ran.started) == (78, [])
    assert ran.err == f"toxvpn: {path} can be read by other users of this machine; run `chmod 600 {path}`\n"


def test_options_never_show_the_secret(toxvpn: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOXVPN_SHARED_SECRET", "s3cret")
    assert "s3cret" not in repr(toxvpn().options)


# -- help -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_is_on_stdout_and_fine(toxvpn: Any, flag: str) -> None:
    ran = toxvpn(flag)
    assert (ran.code, ran.err) == (0, "")
    for heading in ("Server:", "Client:", "Common:", "Process:", "Commands:"):
        assert heading in ran.out
    for letter in "iLPWDpCsfItubdqSzFUVh":
        assert f" -{letter}" in ran.out


@pytest.mark.parametrize("arguments", [["id", "-h"], ["-C", "x", "id", "--help"]])
def test_verbs_have_help(toxvpn: Any, arguments: list[str]) -> None:
    ran = toxvpn(*arguments)
    assert ran.code == 0 and "Usage: toxvpn id" in ran.out


@pytest.mark.parametrize("flag", ["-V", "--version"])
def test_version(toxvpn: Any, flag: str) -> None:
    ran = toxvpn(flag)
    assert ran.code == 0
    for word in ("toxvpn 0", "Python 3", "libtoxcore 0.2.", "clock: ", "page lock: "):
        assert word in ran.out


def test_the_version_tells_what_is_wrong_with_it(toxvpn: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toxcore, "FLAW", ANNOUNCE)
    monkeypatch.setattr(netio, "shield", lambda: netio.Hook(False, "TOXVPN_SOCKETS=off"))
    monkeypatch.setattr(platform, "release", lambda: "7.0.0-14-generic")
    for ran in (toxvpn("-V"), toxvpn("bugreport")):
        assert f"libtoxcore {toxcore.version()}: any stranger can crash it" in ran.out
        assert "shield: not in force: TOXVPN_SOCKETS=off" in ran.out
        assert "Linux 7.0.0-14-generic: it corrupts UDP datagrams" in ran.out
