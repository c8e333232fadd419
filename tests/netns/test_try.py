"""`toxvpn try` as people run it: with namespaces and without, by root and by others; and what it leaves."""

import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from forwards import TOXVPN, USER, private_directory
from test_fast import WITHOUT

from lab import Host, Lab, wait_until

TRIAL = (*TOXVPN, "try")
DENIED, WHY_DENIED = WITHOUT["user namespaces"]
LONGEST_S = 100.0
ETH_P_ALL = 3
ICMPV6 = 58
STORY = r"""
server\$ python3 -m http\.server 8000 --bind 127\.0\.0\.1
.*
server\$ toxvpn
        its Tox ID: [0-9A-F]{76} \(.* s\)
laptop\$ TOXVPN_SHARED_SECRET=<secret> toxvpn -i <ToxID> -L 8080:localhost:8000
.*
        the server lets the laptop in: it has sent the secret \(.* s\)
        connected directly, over UDP \(.* s\)
laptop\$ curl http://localhost:8080/
        a page of the server's own, fetched through Tox \(.* s\)
        it took the (?P<road>\w+) road: .* \(.* s\)

It works"""


SHOWN = (Path(__file__).parents[2] / "docs/howto/try.md").read_text().split("```\n")[1]


def without_chance(text: str) -> list[str]:
    """The lines, with no times and no Tox ID in them."""
    for what, word in ((r"\b[0-9A-F]{76}\b", "ID"), (r"\b\d+\.\d s\b", "TIME")):
        text = re.sub(what, word, text)
    return text.split("\n")


@pytest.fixture
def host(lab: Lab) -> Host:
    """A machine on an internet without anybody else."""
    return lab.host("here")


@pytest.fixture
def temporary(host: Host) -> Path:
    """Where the trial keeps its files, as TMPDIR says."""
    return private_directory(host, "temporary")


@pytest.fixture
def wire(host: Host) -> Iterator[socket.socket]:
    """Gets what the machine sends to the world."""
    with host.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL)) as capture:
        capture.bind((host.interface, ETH_P_ALL))
        capture.setblocking(False)
        yield capture


def sent(wire: socket.socket) -> list[bytes]:
    """The packets but for the kernel's own (ICMPv6: it looks for routers)."""
    packets: list[bytes] = []
    while True:
        try:
            packet, (_, _, kind, *_) = wire.recvfrom(65535)
        except BlockingIOError:
            return packets
        if kind == socket.PACKET_OUTGOING and not (packet[0] >> 4 == 6 and packet[6] in (0, ICMPV6)):
            packets.append(packet)


@pytest.mark.parametrize(
    ("user", "prefix", "together", "road"),
    [(USER, (), None, "fast"), (None, (), None, "fast"), (USER, DENIED, WHY_DENIED, "tuntox")],
    ids=["user", "root", "denied"],
)
def test_it_works_and_nothing_leaves_the_machine(
    host: Host, temporary: Path, wire: socket.socket,
    user: str | None, prefix: tuple[str, ...], together: str | None, road: str,
) -> None:  # fmt: skip
    env = {"TMPDIR": str(temporary), "ALL_PROXY": "socks5://192.0.2.9:9", "TOXVPN_SHARED_SECRET": "not this"}
    ran = host.run([*prefix, *TRIAL], user=user, env=env, timeout_s=LONGEST_S)
    story = re.search(STORY, ran.stdout)
    assert story and story["road"] == road, ran.stdout
    assert (together or "network namespaces, and a cable") in ran.stdout
    assert ran.stderr == ""
    if together is None:
        assert without_chance(ran.stdout.partition("\nOn two real machines")[0]) == without_chance(SHOWN)
    assert sent(wire) == []
    assert list(temporary.iterdir()) == []


def run_until(host: Host, temporary: Path, line: str) -> "subprocess.Popen[bytes]":
    process = host.popen(TRIAL, user=USER, env={"TMPDIR": str(temporary)},
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
    assert process.stdout is not None
    for told in process.stdout:
        if line in told.decode():
            return process
    raise AssertionError("it has ended")


def programs(temporary: Path) -> list[str]:
    """The command lines of processes that use the directory."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if str(temporary).encode() in words:
            found.append(words.replace(b"\0", b" ").decode())
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_that_is_stopped_leaves_nothing(host: Host, temporary: Path, number: signal.Signals) -> None:
    process = run_until(host, temporary, "laptop$ TOXVPN")
    process.send_signal(number)
    assert process.wait(30) == 128 + number
    assert programs(temporary) == []
    assert list(temporary.iterdir()) == []
    host.stop(process)


def test_the_programs_of_one_that_is_killed_end(host: Host, temporary: Path) -> None:
    process = run_until(host, temporary, "here is open")
    assert len(programs(temporary)) == 3
    process.kill()
    host.stop(process)
    wait_until(lambda: not programs(temporary), "the end of its programs", 10)
