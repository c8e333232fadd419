"""The shield in front of a real libtoxcore of a version with the flaw.

That is this machine's own, the fixed one of a wheel (scripts/check-wheels runs this with one installed), or
the flawed one of scripts/affected. The node and others like it, so that it has somebody to tell of, run in a
process of their own.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from toxvpn._native import toxcore  # noqa: F401  # puts the shield in place
from toxvpn._native.net import netio

from .stranger import ANNOUNCED, Stranger, group_announce

pytestmark = pytest.mark.real

UNPACKED = Path(sys.prefix, "affected")
"""The folder where scripts/affected puts a flawed libtoxcore."""
MEMBERS = 5
NODES = 4
"""An answer with as many nodes and members as it has room for is too long."""
ORDINARY_ANSWER = 1 + 32 + 1 + NODES * (1 + 4 + 2 + 32)

NODE = """
import json, select, sys
from unittest.mock import Mock
from toxvpn._native import toxcore
from toxvpn._native import toxcore  # noqa: F401  # puts the shield in place
from toxvpn._native.net import netio
from toxvpn._native.options import Options
local = Options(ipv6=False, local_discovery=False)
node, *others = [toxcore.Tox(local, handler=Mock()) for _ in range(6)]
for other in others:
    other.bootstrap("127.0.0.1", node.udp_port, node.dht_id)
locked = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmLck")]
tell = lambda **facts: print(json.dumps(facts), flush=True)
tell(
    shielded=netio.shield() is not None, patched=toxcore.PATCHED is not None,
    port=node.udp_port, dht_id=node.dht_id.hex(), locked_kb=int(*locked),
)
while not select.select([sys.stdin], [], [], 0.002)[0]:
    for each in (node, *others):
        each.iterate()
tell(**netio.counters())
"""


class Node:
    """`facts`: what it said of itself at the start."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", NODE],
            env=os.environ | environment | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # glibc's last words
            text=True,
        )
        self.facts = self._told()

    def _told(self) -> dict[str, Any]:
        assert self.process.stdout
        facts: dict[str, Any] = json.loads(self.process.stdout.readline())
        return facts

    def end(self) -> dict[str, int]:
        """Return the counters of the process."""
        assert self.process.stdin
        self.process.stdin.write("end\n")
        self.process.stdin.flush()
        return self._told()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="session")
def affected() -> dict[str, str]:
    """The environment in which a program gets a libtoxcore that the shield is for."""
    if netio.shield() is not None:
        return {}
    folders = list(UNPACKED.glob("usr/lib/*/"))
    if not folders:
        pytest.skip("this libtoxcore has no flaw, and scripts/affected has not brought one that has")
    return {"LD_LIBRARY_PATH": str(folders[0])}


@pytest.fixture
def node(affected: dict[str, str], request: pytest.FixtureRequest) -> Iterator[Node]:
    node = Node(affected | getattr(request, "param", {}))
    try:
        assert node.facts["shielded"], "scripts/affected has to bring another version"
        yield node
    finally:
        node.close()


@pytest.fixture
def stranger(node: Node) -> Iterator[Stranger]:
    """Also once the node knows other nodes."""
    stranger = Stranger(node.facts["port"], bytes.fromhex(node.facts["dht_id"]))
    ends_s = time.monotonic() + 60
    while len(stranger.ask()) != ORDINARY_ANSWER:
        assert time.monotonic() < ends_s, "the node knows too few others"
    yield stranger
    stranger.close()


@pytest.mark.parametrize(
    "node", [{}, {"TOXVPN_UDP_BATCH": "off"}], ids=["received in batches", "received singly"], indirect=True
)
def test_a_stranger_cannot_crash_a_flawed_libtoxcore(node: Node, stranger: Stranger) -> None:
    group = os.urandom(32)
    for _ in range(MEMBERS):
        stranger.send(group_announce(group, os.urandom(32)))
    assert len(stranger.ask()) == ORDINARY_ANSWER  # the first and only answer
    assert node.end()["shielded"] == MEMBERS


@pytest.mark.parametrize("node", [{"TOXVPN_SOCKETS": "off"}], indirect=True)
def test_without_a_shield_it_can(node: Node, stranger: Stranger) -> None:
    """The datagrams of the test above are the right ones; but a distribution may have fixed its version, and
    the library of our wheels is fixed.
    """
    group = os.urandom(32)
    lengths = [len(stranger.ask(group_announce(group, os.urandom(32)))) for _ in range(MEMBERS)]
    if stranger.ask() or node.facts["patched"]:
        assert lengths == [ORDINARY_ANSWER + members * ANNOUNCED for members in range(MEMBERS)]
    else:
        assert node.process.wait(10) in (-signal.SIGABRT, -signal.SIGSEGV)


def test_its_caches_of_keys_stay_locked(node: Node) -> None:
    """A handle has seven caches of 72 kB; they are locked if the limit allows (RLIMIT_MEMLOCK, 8 MB)."""
    assert node.facts["locked_kb"] >= 6 * 7 * 72
