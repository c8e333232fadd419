"""A walk through the mistakes of a first day, with the real program: one helpful line and the code for each.

Nothing goes on a network: every case ends before, or by, what is wrong with it.
"""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from toxvpn.wire.toxid import ToxId

KEY = bytes(range(32))
ID = str(ToxId(KEY, b"\1\2\3\4"))
NODES = '{"nodes": [{"ipv4": "127.0.0.1", "port": 9, "public_key": "%s"}]}'
USAGE, NOT_RUNNING, REFUSED, PERMISSION, CONFIG = 2, 3, 4, 77, 78

# what `toxvpn run` and `config check` are to say of each
CONFIGS = {
    "typo": ('[server]\nalow = ["localhost:22"]', "server.alow is unknown: did you mean 'allow'?"),
    "section": ("[sever]", "sever is unknown: did you mean 'server'?"),
    "toml": ("[server", "not TOML"),
    "type": ('[server]\nopen = "yes"', "server.open: must be true or false, not 'yes'"),
    "rule": ('[server]\nallow = ["localhost"]', "server.allow: rule:1: 'localhost': the port is missing"),
    "bit": (
        '[peers.box]\nid = "' + "3" * 62 + 'F3"',
        "peers.box.id: '3333333333333333...' is not a public key",
    ),
    "id": (
        '[peers.box]\nid = "12"',
        "peers.box.id: '12' has 2 digits; give a Tox ID (76 digits) or a public key",
    ),
    "name": ('[peers."my box"]\nid = "12"', "peers.my box: the name 'my box' is not usable"),
    "peer": (
        '[[forwards]]\npeer = "bx"\nlisten = 1\ntarget = "a:1"',
        "forwards[1].peer: there is no [peers.bx]; the file defines no peers",
    ),
    "secret": ('[server]\nsecret_file = "missing"', "there is no secret file"),
    "nodes": ('[node]\nnodes_file = "missing"\n[server]', "missing: No such file"),
}

COMMAND_LINES: list[tuple[str, int, str]] = [
    # whom
    ("-p", USAGE, "the server's Tox ID is missing: add -i ID"),
    ("-L 8080:localhost:80", USAGE, "the server's Tox ID is missing: add -i ID"),
    (f"-i {ID[:-1]} -p", USAGE, "it has 75 digits instead of 76"),
    (f"-i {ID}0 -p", USAGE, "it has 77 digits instead of 76"),
    (f"-i {ID[:-1]}{'0' if ID[-1] != '0' else '1'} -p", USAGE, "one digit is wrong or missing"),
    (f"-i {ID[:64]} -p", USAGE, "is a public key; the Tox ID has 76 digits"),
    ("-i nobody -p", REFUSED, "a peer that is kept here; see `toxvpn peer list`"),
    (f"-i {ID} -i {ID} -p", USAGE, "give -i once"),
    (ID, USAGE, "a Tox ID needs its flag: -i ID"),
    # what
    ("--bogus", USAGE, "no such option '--bogus' (see toxvpn -h)"),
    ("status --jsn", USAGE, "no such option '--jsn'. Did you mean '--json'? (see toxvpn status -h)"),
    ("wait --timeout soon", USAGE, "'soon' is not a valid number of seconds"),
    ("staus", USAGE, "there is no command 'staus': see toxvpn -h"),
    ("8080:localhost:80", USAGE, "needs its flag: -L or -R to forward"),
    (f"-i {ID} -L 8080", USAGE, "-L '8080': parts are missing; expected [bind:]port:host:hostport"),
    (f"-i {ID} -L 70000:localhost:80", USAGE, "port 70000 is out of range: 1 to 65535"),
    (f"-i {ID} -D http", USAGE, "-D 'http': the port 'http' is not a number"),
    (f"-i {ID} -P localhost", USAGE, "-P 'localhost': parts are missing; expected host:port"),
    (f"-i {ID} -P a:1 -L 1:b:1", USAGE, "goes with no other -P, -L, -R or -D"),
    (f"-i {ID} -p --open", USAGE, "--open is for the server"),
    (f"--open -i {ID}", USAGE, "leave one out"),
    ("--road fast", USAGE, "--road is for the client"),
    ("-u 5:4", USAGE, "-u: must be FIRST:LAST, two port numbers from 1 to 65535, not '5:4'"),
    ("-t many", USAGE, "-t: must be a port number, or 0 for no relay, not 'many'"),
    ("-q -d", USAGE, "leave one out"),
    ("--proxy tor", USAGE, "--proxy: expected socks5://HOST:PORT"),
    ("-U nobody-of-that-name", USAGE, "there is no such user"),
    ("peer", USAGE, "peer needs a command: one of accept, add,"),
    ("config", USAGE, "config needs a command: one of check, show"),
    ("secret", USAGE, "secret needs a command: renew"),
    ("service", USAGE, "service needs a command: one of install, remove"),
    ("peer add 12", USAGE, "'12' is not a Tox ID: it has 2 digits"),
    ("peer remove box", REFUSED, "no peer 'box' is known here; see `toxvpn peer list`"),
    ("join hello", USAGE, "this is not an invite: an invite starts with 'toxvpn-'"),
    ("up --mtu 9000", USAGE, "--mtu: 9000 is out of range: 576 to 1368"),
    ("up --address 10.0.0", USAGE, "must be an IPv4 address such as 10.9.8.7/24, not '10.0.0'"),
    ("up --peer box", REFUSED, "no kept peer has that name"),
    # secrets
    ("--secret-file /missing", CONFIG, "there is no secret file /missing"),
    ("--secret-file {here}/public", CONFIG, "can be read by other users of this machine; run `chmod 600"),
    ("--secret-file {here}/empty", CONFIG, "the shared secret is empty"),
    ("--secret-file {here}/long", CONFIG, "1100 bytes, a friend request holds 1015"),
    # files
    ("-b /missing", CONFIG, "cannot read /missing: No such file or directory; -b takes"),
    ("-b {here}/garbage", CONFIG, "{here}/garbage"),
    ("-f /missing", CONFIG, "/missing: the rules file cannot be read: No such file or directory"),
    ("-f {here}/garbage", CONFIG, "{here}/garbage:1: 'garbage': the port is missing; expected host:port"),
    ("-C {here}/garbage", CONFIG, "cannot use {here}/garbage: Not a directory"),
    ("-C {here}/damaged", CONFIG, "{here}/damaged/tox_save"),
    ("-C {here}/damaged id", CONFIG, "{here}/damaged/tox_save"),
    ("-I /missing/id", 1, "cannot write /missing/id: No such file or directory"),
    ("--config /missing", CONFIG, "/missing: the configuration cannot be read: No such file or directory"),
    (
        "run",
        CONFIG,
        "{here}/new/config.toml: the configuration cannot be read: No such file or directory; write it",
    ),
    ("-C {here}/nothing run", USAGE, "switches nothing on: it needs [server], [vpn]"),
    # nobody is there
    ("status", NOT_RUNNING, "toxvpn is not running"),
    ("ping box", NOT_RUNNING, "toxvpn is not running"),
    ("wait --timeout 0", NOT_RUNNING, "toxvpn is not running"),
    ("reload", NOT_RUNNING, "toxvpn is not running"),
    ("peer accept box", NOT_RUNNING, "only a running toxvpn has the requests to accept"),
    # ports
    (f"--no-share -i {ID} -L {{taken}}:localhost:22", 1, "cannot listen on 127.0.0.1:{taken}"),
    (f"--no-share -i {ID} -D {{taken}}", 1, "cannot listen on 127.0.0.1:{taken}"),
    ("-u {taken_udp}", 1, "the one asked for is in use, or below 1024"),
    ("-C {here}/forwards run", 1, "cannot listen on 127.0.0.1:{taken}"),
    *((f"-C {{here}}/{name} config check", CONFIG, message) for name, (_, message) in CONFIGS.items()),
]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    """What the command lines name."""
    here = tmp_path_factory.mktemp("here")
    (here / "nodes.json").write_text(NODES % ("00" * 32))
    (here / "garbage").write_text("garbage\n")
    for name, text in (("public", "x"), ("empty", ""), ("long", "x" * 1100)):
        (here / name).write_text(text)
        (here / name).chmod(0o644 if name == "public" else 0o600)
    for name in ("damaged", "nothing", "forwards", *CONFIGS):
        (here / name).mkdir(mode=0o700)
    (here / "damaged" / "tox_save").write_bytes(b"garbage")
    (here / "nothing" / "config.toml").write_text("")
    for name, (text, _) in CONFIGS.items():
        (here / name / "config.toml").write_text(text)
    (here / "damaged" / "tox_save").chmod(0o600)
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.bind(("", 0))
        taken = tcp.getsockname()[1]
        (here / "forwards" / "config.toml").write_text(
            f'[peers.box]\nid = "{ID}"\n[[socks]]\npeer = "box"\nlisten = {taken}\n'
        )
        yield {"here": here, "taken": taken, "taken_udp": udp.getsockname()[1]}


def run(places: dict[str, object], line: str, *prefix: str) -> subprocess.CompletedProcess[str]:
    words = line.format(**places).split()
    here = places["here"]
    if "-C" not in words:
        words = ["-C", f"{here}/new", *words]
    if "-b" not in words and words[-1] not in ("check", "show"):
        words = ["-b", f"{here}/nodes.json", *words]
    environ = {
        key: value for key, value in os.environ.items() if not key.upper().endswith(("SECRET", "PROXY"))
    }
    return subprocess.run(
        [*prefix, sys.executable, "-m", "toxvpn", *words],
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        env=environ,
    )


def check(ran: subprocess.CompletedProcess[str], code: int, message: str) -> None:
    assert ran.returncode == code, ran.stderr
    assert ran.stdout == ""
    *before, line = ran.stderr.splitlines()
    assert not before, "one line"
    assert line.startswith("toxvpn: ") and message in line
    assert "Traceback" not in line and "Errno" not in line


@pytest.mark.parametrize(
    ("line", "code", "message"), COMMAND_LINES, ids=[line[:40] for line, *_ in COMMAND_LINES]
)
def test_a_mistake_is_one_helpful_line(places: dict[str, object], line: str, code: int, message: str) -> None:
    check(run(places, line), code, message.format(**places) if "{" in message else message)


def test_a_second_one_with_the_same_identity(places: dict[str, object], tmp_path: Path) -> None:
    from toxvpn.state.identity import Identity

    with Identity.open(tmp_path):
        check(run(places, f"-C {tmp_path}"), 1, f"the identity in {tmp_path} is in use")


# -- what the machine does not allow: the rights and the device are taken away ---------------------


@pytest.fixture
def without_rights() -> list[str]:
    """What to start a program with, so that it has no rights over the machine's network."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv")
    return ["setpriv", "--bounding-set", "-net_admin,-net_bind_service", "--inh-caps", "-all"]


def test_no_right_to_make_a_network(places: dict[str, object], without_rights: list[str]) -> None:
    check(run(places, "up", *without_rights), PERMISSION, "sudo")


def test_no_right_to_a_low_port(places: dict[str, object], without_rights: list[str]) -> None:
    first = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if first < 24:
        pytest.skip("everybody may listen on low ports here")
    check(run(places, f"--no-share -i {ID} -L 23:localhost:23", *without_rights), PERMISSION, "23")


@pytest.fixture
def without_tun() -> list[str]:
    """What to start a program with, so that there is no /dev/net/tun."""
    hidden = ["sh", "-c", 'mount -t tmpfs none /dev/net && exec "$@"', "sh"]
    prefix = ["unshare", "-mn" if os.geteuid() == 0 else "-rmn", *hidden]
    if subprocess.run([*prefix, "true"], capture_output=True).returncode != 0:
        pytest.skip("needs a mount namespace")
    return prefix


def test_no_device_for_a_network(places: dict[str, object], without_tun: list[str]) -> None:
    check(run(places, "up", *without_tun), 1, "/dev/net/tun")
