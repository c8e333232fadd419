"""A namespace that an ordinary user makes: what is in it, who can enter it, and why there is none."""

import socket
import subprocess
from collections.abc import Callable
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path
from typing import TypeVar

import pytest

from toxvpn.errors import NotRunningError
from toxvpn.testing.netns import SOMEBODY, as_somebody, have_namespaces
from toxvpn.tun.host.netconf import NetworkChanges
from toxvpn.usernet import namespace as namespace_module
from toxvpn.usernet.enter import CommandError, become, enter
from toxvpn.usernet.namespace import UserNamespace, UserNamespaceError

pytestmark = pytest.mark.skipif(not have_namespaces(), reason="needs root and TUN devices")

T = TypeVar("T")

ADDRESS = IPv4Interface("100.64.3.2/32")
PEERS = IPv4Network("100.64.0.0/16")


def inside(namespace: UserNamespace, command: list[str], resolv_conf: Path = Path("/dev/null")) -> str:
    """What the command prints there; its errors too."""

    def prepare() -> None:
        enter(namespace.owner, resolv_conf)

    done = subprocess.run(
        command, preexec_fn=prepare, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=10
    )
    return done.stdout


def with_network(function: Callable[[UserNamespace], T]) -> T:
    """The result of `function` for a namespace of a user's with a device that has an address and a route."""

    def run() -> T:
        with UserNamespace.start() as namespace, NetworkChanges(namespace=namespace) as network:
            device = namespace.open_tun("toxvpn0", offload=True)
            network.set_mtu(device.name, 1368)
            network.add_address(device.name, ADDRESS)
            network.link_up(device.name)
            network.add_route(device.name, PEERS)
            try:
                return function(namespace)
            finally:
                device.close()

    return as_somebody(run)


def test_it_has_the_device_with_its_address_and_route_and_nothing_else() -> None:
    def run(namespace: UserNamespace) -> tuple[str, str]:
        return inside(namespace, ["ip", "-o", "addr"]), inside(namespace, ["ip", "route"])

    shown, routes = with_network(run)
    assert {line.split()[1] for line in shown.splitlines()} == {"lo", "toxvpn0"}
    assert str(ADDRESS) in shown
    assert [line.split()[:3] for line in routes.splitlines()] == [[str(PEERS), "dev", "toxvpn0"]]
    assert not Path("/sys/class/net/toxvpn0").exists()


def test_a_command_has_the_users_ids_and_no_rights() -> None:
    commands = (["id", "-u"], ["id", "-g"], ["cat", "/proc/self/status"], ["ip", "link", "del", "toxvpn0"])
    shown = with_network(lambda namespace: [inside(namespace, command) for command in commands])
    assert shown[:2] == [f"{SOMEBODY}\n"] * 2
    assert "CapEff:\t0000000000000000" in shown[2] and "CapPrm:\t0000000000000000" in shown[2]
    assert "not permitted" in shown[3]


def test_ping_needs_no_rights() -> None:
    program = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)"
    command = ["/usr/bin/python3", "-c", program]
    outside = as_somebody(lambda: subprocess.run(command, capture_output=True, text=True).stderr)
    assert "PermissionError" in outside
    assert with_network(lambda namespace: inside(namespace, command)) == ""


def test_sockets_are_inside_and_this_process_is_not() -> None:
    def run(namespace: UserNamespace) -> tuple[list[str], list[str]]:
        with namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
            made.bind((str(ADDRESS.ip), 53))  # a low port, by one who has the rights there
            return inside(namespace, ["ss", "-Hlun"]).split()[3:4], [
                name for _, name in socket.if_nameindex()
            ]

    listening, here = with_network(run)
    assert listening == [f"{ADDRESS.ip}:53"]
    assert "toxvpn0" not in here


def test_sysctls_and_tables_are_its_own() -> None:
    def run(namespace: UserNamespace) -> tuple[str, str, str]:
        with NetworkChanges(namespace=namespace) as network:
            network.set_sysctl("net/ipv4/ip_forward", "1")
            network.set_table("inet", "toxvpn_test_toxvpn0", "  chain c { }")
            inside_value = inside(namespace, ["cat", "/proc/sys/net/ipv4/ip_forward"])
            tables = namespace.nft("list tables", "list the tables")
        return inside_value, tables, inside(namespace, ["cat", "/proc/sys/net/ipv4/ip_forward"])

    outside = Path("/proc/sys/net/ipv4/ip_forward").read_text()
    assert with_network(run) == ("1\n", "table inet toxvpn_test_toxvpn0\n", "0\n")
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == outside


def test_a_command_cannot_reach_the_owner_of_its_namespace() -> None:
    """A command inside has no rights over the namespace that it is in, and cannot trace its owner."""

    def run(namespace: UserNamespace) -> str:
        return inside(namespace, ["ls", "-l", f"/proc/{namespace.owner}/ns/net"])

    assert "Permission denied" in with_network(run)


def test_it_ends_with_its_owner() -> None:
    def run() -> bool:
        namespace = UserNamespace.start()
        helper = namespace.owner
        namespace.close()
        namespace.close()
        return Path(f"/proc/{helper}").exists()

    assert not as_somebody(run)


def test_entering_one_that_has_ended() -> None:
    def run() -> str:
        with UserNamespace.start() as namespace:
            pass
        with pytest.raises(NotRunningError) as error:
            enter(namespace.owner, Path("/dev/null"))
        return str(error.value)

    assert "has just ended" in as_somebody(run)


@pytest.mark.parametrize(
    ("statements", "reason"),
    [
        (
            "n.unshare = lambda flags: (_ for _ in ()).throw(PermissionError(1, 'Operation not permitted'))",
            "user namespaces are not allowed here: Operation not permitted",
        ),
        (
            "n._reads = lambda name, value: name == 'kernel/apparmor_restrict_unprivileged_userns'; "
            "h.map_user = lambda uid, gid: (_ for _ in ()).throw(PermissionError(1, 'not permitted'))",
            "user namespaces have no rights here: sysctl kernel.apparmor_restrict_unprivileged_userns is 1; "
            "the AppArmor profile contrib/apparmor/toxvpn gives toxvpn these rights",
        ),
        (
            "n._reads = lambda name, value: name == 'user/max_user_namespaces'; "
            "n.unshare = lambda flags: (_ for _ in ()).throw(OSError(28, 'No space left on device'))",
            "user namespaces are not allowed here: sysctl user.max_user_namespaces is 0; 'sudo sysctl -w",
        ),
        ("import os; os._exit(3)", "the helper process has ended with status 3"),
    ],
)
def test_why_there_is_none(monkeypatch: pytest.MonkeyPatch, statements: str, reason: str) -> None:
    first = f"from toxvpn import namespaces as n; from toxvpn.usernet import helper as h; {statements}; "
    monkeypatch.setattr(namespace_module, "HELPER", first + namespace_module.HELPER)

    def run() -> tuple[str, int]:
        with pytest.raises(UserNamespaceError) as error:
            UserNamespace.start()
        return str(error.value), error.value.exit_code

    text, code = as_somebody(run)
    assert reason in text and len(text.splitlines()) == 1
    assert code == 77


@pytest.mark.parametrize(("command", "code"), [("/nowhere/at/all", 127), ("/etc/passwd", 126)])
def test_a_command_that_cannot_be_run(command: str, code: int) -> None:
    def run() -> tuple[str, int]:
        with pytest.raises(CommandError) as error:
            become([command])
        return str(error.value), error.value.exit_code

    text, exit_code = as_somebody(run)  # a process of its own: it has become one that SIGPIPE ends
    assert text.startswith(f"cannot run {command}: ")
    assert exit_code == code
