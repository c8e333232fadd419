"""How `toxvpn up` starts, fails to start, and ends: in one line, and with the network as it was before."""

import os
import re
import select
import shutil
import signal
import subprocess
from collections.abc import Iterator

import pytest
from vpns import INTERFACE, STARTING_S, Machine, network_of

from lab import Lab
from lab.processes import as_user

USER = "nobody"


@pytest.fixture(scope="module")
def _machine(_shared_network: Lab) -> Iterator[Machine]:
    host = _shared_network.host("lonely")
    host.run(["ip", "link", "add", "office", "type", "bridge"])
    host.run(["ip", "addr", "add", "10.20.0.1/16", "dev", "office"])
    host.run(["ip", "link", "set", "office", "up"])
    yield Machine(_shared_network, host)
    _shared_network.remove(host)


@pytest.fixture
def machine(_machine: Machine) -> Iterator[Machine]:
    """One without peers; its network is the same afterwards."""
    before = network_of(_machine.host)
    yield _machine
    if (_machine.directory / "control.sock").exists():  # only after a failure
        _machine.toxvpn("down")
    assert network_of(_machine.host) == before


def refused(ran: subprocess.CompletedProcess[str], code: int) -> str:
    """The one line on stderr."""
    assert (ran.returncode, ran.stdout) == (code, ""), ran.stderr
    [line] = ran.stderr.splitlines()
    assert line.startswith("toxvpn: ")
    return line


# -- it cannot ----------------------------------------------------------------------------------


def test_without_permission_it_says_what_is_needed(machine: Machine) -> None:
    directory = machine.host.directory / "unprivileged"
    directory.mkdir()
    shutil.chown(directory, USER)
    argv = [*machine.argv("up")[:5], "-C", str(directory), "up"]
    line = refused(machine.host.run(argv, user=USER, check=False), 77)
    assert "needs root or CAP_NET_ADMIN" in line and "sudo" in line


def test_without_a_tun_driver_it_says_what_is_needed(machine: Machine) -> None:
    hidden = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /dev/net && exec "$@"', "sh"]
    line = refused(machine.host.run([*hidden, *machine.argv("up")], check=False), 1)
    assert "/dev/net/tun" in line and "modprobe tun" in line


@pytest.mark.parametrize("mtu", ["575", "1369", "0", "large"])
def test_an_mtu_that_cannot_be_is_a_usage_error(machine: Machine, mtu: str) -> None:
    assert "--mtu" in refused(machine.toxvpn("up", "--mtu", mtu, check=False), 2)


@pytest.mark.parametrize(
    ("address", "code", "reason"),
    [
        ("10.20.3.4", 78, "10.20.3.4 lies in 10.20.0.0/16 of the interface office"),
        ("9.9.9.9", 78, "a public address"),
        ("224.0.0.1", 2, "cannot be a host's address"),
        ("10.20.3", 2, "must be an IPv4 address"),
    ],
)
def test_an_address_that_cannot_be_ours_is_refused(
    machine: Machine, address: str, code: int, reason: str
) -> None:
    assert reason in refused(machine.toxvpn("up", "--address", address, check=False), code)


def test_a_device_that_another_one_uses_is_left_alone(machine: Machine) -> None:
    machine.start()
    as_it_is = network_of(machine.host)
    other = Machine(machine.lab, machine.host, "other")
    line = refused(other.toxvpn("up", check=False), 1)
    assert f"{INTERFACE} is in use by another program: stop it, or choose another name" in line
    assert network_of(machine.host) == as_it_is
    other.start("--interface", "toxvpn1")
    assert other.ipv4 != machine.ipv4
    assert other.stop() == machine.stop() == 0


# -- it can -------------------------------------------------------------------------------------


def test_a_network_here_in_the_usual_range_moves_us_to_another(machine: Machine) -> None:
    carrier = ["100.64.7.7/10", "dev", "office"]
    machine.host.run(["ip", "addr", "add", *carrier])
    machine.start()
    assert re.fullmatch(r"10\.(6[4-9]|[789].|1[01].|12[0-7])\..*", machine.ipv4)
    machine.stop()
    machine.host.run(["ip", "addr", "del", *carrier])


def test_one_capability_is_enough(machine: Machine) -> None:
    directory = machine.host.directory / "capable"
    capable = Machine(machine.lab, machine.host, "capable")
    for path in (directory, *directory.iterdir()):
        shutil.chown(path, USER, "nogroup")
    before = network_of(machine.host)
    up = capable.start(prefix=tuple(as_user(USER, "net_admin")))
    status = (os.path.realpath(f"/proc/{up.process.pid}/exe"), capable.addresses)
    assert all(status)
    assert INTERFACE in network_of(machine.host)["addr"]
    assert capable.stop() == 0
    assert network_of(machine.host) == before


def test_a_terminal_shows_what_is_waited_for(machine: Machine) -> None:
    absent = Machine(machine.lab, machine.host, "absent")
    screen, stderr = os.openpty()
    process = machine.host.popen(machine.argv("up", "--peer", absent.tox_id), stderr=stderr)
    os.close(stderr)
    seen = b""
    for words in (b"asking the bootstrap nodes", f"looking for {absent.tox_id[:8]} ".encode()):
        while words not in seen:
            assert select.select([screen], [], [], STARTING_S)[0], seen
            seen += os.read(screen, 4096)
    machine.toxvpn("down")
    process.wait(STARTING_S)
    os.close(screen)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_tidily(machine: Machine, number: signal.Signals) -> None:
    machine.start()
    assert machine.stop(number) == 128 + number
    assert f"stopped by {number.name}" in machine.log


def test_down_ends_it_and_is_content_when_there_is_nothing(machine: Machine) -> None:
    machine.start()
    assert machine.stop() == 0
    assert machine.toxvpn("down").stderr.strip() == "toxvpn is not running"


def test_what_a_killed_one_left_is_undone_by_the_next_start(machine: Machine) -> None:
    """The device was there before, so it does not go with the process, and all that was done to it stays."""
    machine.host.run(["ip", "tuntap", "add", INTERFACE, "mode", "tun", "vnet_hdr"])
    for state in ("up", "down"):
        machine.host.run(["ip", "link", "set", INTERFACE, state])
    before = network_of(machine.host)
    machine.start()
    ours = machine.ipv4
    machine.stop(signal.SIGKILL)
    assert f"{ours}/32" in network_of(machine.host)["addr"], "nobody could take it back"
    machine.start()
    assert re.search(r"undoing \d changes that an earlier run left in the network", machine.log)
    assert machine.stop() == 0
    assert network_of(machine.host) == before
    machine.host.run(["ip", "tuntap", "del", INTERFACE, "mode", "tun"])


def test_a_device_that_somebody_removes_ends_it(machine: Machine) -> None:
    machine.start()
    machine.host.run(["ip", "link", "del", INTERFACE])
    assert machine.up.process.wait(STARTING_S) == 1
    assert machine.log.splitlines()[-1].startswith(f"toxvpn: {INTERFACE} was removed")


def test_two_that_start_at_once_are_one(machine: Machine) -> None:
    pipe = subprocess.PIPE
    both = [machine.host.popen(machine.argv("up"), stdout=pipe, stderr=pipe) for _ in range(2)]
    machine.toxvpn("wait", check=False)  # until one of them answers
    machine.until(lambda: any(process.poll() is not None for process in both), "the end of one", STARTING_S)
    [late] = [process for process in both if process.poll() is not None]
    assert late.stderr
    said = late.stderr.read().decode()
    assert (late.returncode, len(said.splitlines())) == (0, 1)
    assert "the network is up already, and nothing was changed" in said
    machine.toxvpn("down")
    machine.host.stop(*both)
