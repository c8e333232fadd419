"""Names of the network for every program: by systemd-resolved on one machine, by /etc/hosts on another.

`laptop` is booted with systemd-resolved, as a distribution has it. `box` has neither systemd nor a resolver,
and an /etc of its own.
"""

import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from booted import NEEDED, Booted
from resolved import require_resolved, start_resolved
from vpns import CONNECTING_S, STARTING_S, TOXVPN, Machine

from lab import Host, Lab, LabError, wait_until
from lab.apps import sshd
from lab.require import require

RESOLVED_S = 60.0
"""systemd-resolved repeats a question that was lost while the link was down only after some time."""

PID_FILE = "/run/up.pid"
THEIRS = "127.0.0.1 localhost\n# a person's own line\n10.0.0.9 printer\n"
ASK = """
import sys, dns.message, dns.query
query = dns.message.make_query(sys.argv[2], "AAAA")
print(dns.query.udp(query, sys.argv[1], timeout=0.5).answer)
"""


class Laptop:
    """A booted machine with systemd-resolved."""

    def __init__(self, lab: Lab, host: Host) -> None:
        self.host = host
        self.booted = Booted(host)
        self.booted.run("hostname", "Laptop.example")
        start_resolved(self.booted)
        self.booted.root.joinpath("etc/nodes.json").write_text(lab.nodes_json.read_text())
        self.log = host.directory / "laptop-up.log"
        self.tox_id = self.toxvpn("id").strip()

    def run(self, script: str, check: bool = True) -> str:
        """What a script for sh prints."""
        return self.booted.run("sh", "-c", script, check=check).stdout

    def toxvpn(self, *arguments: str) -> str:
        argv = [*TOXVPN, "-b", "/etc/nodes.json", *arguments]
        return self.booted.run(*argv, timeout_s=CONNECTING_S + 15).stdout

    def start(self, *arguments: str) -> None:
        argv = [
            *self.booted.enter,
            *TOXVPN,
            "-b",
            "/etc/nodes.json",
            "up",
            "-F",
            PID_FILE,
            *arguments,
        ]
        with self.log.open("wb") as log:
            self.process = self.host.popen(argv, stderr=log)
        self.until(lambda: "this machine's Tox ID" in self.log.read_text(), "toxvpn up")

    def until(self, condition: Callable[[], object], what: str, limit_s: float = STARTING_S) -> None:
        """Wait for a state; on failure the log is part of the message."""
        try:
            wait_until(condition, what, limit_s, poll_s=0.1)
        except LabError as error:
            raise LabError(f"{error}; the log of the laptop:\n{self.log.read_text()}") from None

    def finds(self, name: str) -> set[str]:
        """The addresses that programs find under the name, by the C library."""
        return {line.split()[0] for line in self.run(f"getent ahosts {name}", check=False).splitlines()}

    def names(self, address: str) -> str:
        """The names that programs find for the address."""
        return self.run(f"getent hosts {address}", check=False)

    @property
    def domains(self) -> str:
        """Those for which systemd-resolved asks us."""
        return self.run("resolvectl domain toxvpn0", check=False)


class Box(Machine):
    """A machine with an /etc of its own; `enter` are the words before a command that sees it."""

    def __init__(self, lab: Lab, host: Host, laptop: str) -> None:
        super().__init__(lab, host)
        self.laptop = laptop
        etc = host.directory / "etc"
        script = (
            f"mkdir -p {etc}/u {etc}/w && "
            f"mount -t overlay etc -o lowerdir=/etc,upperdir={etc}/u,workdir={etc}/w /etc"
        )
        argv = ["unshare", "--mount", "sh", "-c", f"{script} && echo && exec sleep infinity"]
        self._holder = host.popen(argv, stdout=subprocess.PIPE)
        assert self._holder.stdout is not None
        self._holder.stdout.readline()
        self.enter = ("nsenter", "-t", str(self._holder.pid), "-m")
        self.hosts = Path(f"/proc/{self._holder.pid}/root/etc/hosts")
        self.hosts.write_text(THEIRS)

    def configure(self, vpn: str) -> None:
        """Writes config.toml with those lines in [vpn]."""
        self.directory.joinpath("config.toml").write_text(
            f'[vpn]\n{vpn}\n[peers.notebook]\nid = "{self.laptop}"\n'
        )

    def start_with(self, vpn: str) -> None:
        self.configure(vpn)
        self.start(prefix=self.enter)

    def finds(self, name: str) -> set[str]:
        found = self.host.run([*self.enter, "getent", "ahosts", name], check=False).stdout
        return {line.split()[0] for line in found.splitlines()}


@pytest.fixture(scope="module")
def machines(_shared_network: Lab) -> Iterator[tuple[Laptop, Box]]:
    require(*NEEDED, "sshd")
    require_resolved()
    lab = _shared_network
    before = set(lab.hosts)
    laptop = Laptop(lab, lab.host("laptop", ipv6=False))
    box = Box(lab, lab.host("box", ipv6=False), laptop.tox_id)
    laptop.start("--peer", box.tox_id)
    box.start_with('name = "Box"\nhosts = true')
    laptop.toxvpn("wait", "--timeout", str(CONNECTING_S))
    box.wait()
    yield laptop, box
    for name in set(lab.hosts) - before:
        lab.remove(lab.hosts[name])


def test_a_peer_is_found_by_what_it_calls_itself(machines: tuple[Laptop, Box]) -> None:
    laptop, box = machines
    laptop.until(lambda: laptop.finds("box.tox.internal") == set(box.addresses), "both addresses of box")
    laptop.until(
        lambda: all("box.tox.internal" in laptop.names(address) for address in box.addresses),
        "the name of each address",
    )
    assert "1 received" in laptop.run("ping -n -c 1 -W 5 BOX.tox.internal")
    assert laptop.finds("laptop.tox.internal") and not laptop.finds("nobody.tox.internal")
    assert "this machine is laptop.tox.internal" in laptop.toxvpn("status")
    assert laptop.toxvpn("peer", "list").splitlines()[1].startswith("box ")
    laptop.toxvpn("ping", "box")


def test_ssh_by_name(machines: tuple[Laptop, Box]) -> None:
    laptop, box = machines
    server = sshd(box.host)
    key = laptop.booted.root / "root/key"
    key.write_bytes(server.client_key.read_bytes())
    key.chmod(0o600)
    options = (
        "-i /root/key -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -F none"
    )
    toxvpn = " ".join([*TOXVPN, "ssh"])
    for command in (
        f"{toxvpn} {options} box",
        f"{toxvpn} {options} box.tox.internal",
        f"ssh {options} box.tox.internal",
    ):
        said = laptop.run(f"{command} 'echo $SSH_CONNECTION'").split()
        assert said[2] in box.addresses, command


def test_by_the_hosts_file_where_nothing_else_asks(machines: tuple[Laptop, Box]) -> None:
    laptop, box = machines
    own = {line.split()[0] for line in laptop.run("getent ahosts laptop.tox.internal").splitlines()}
    box.until(lambda: box.finds("notebook.tox.internal") == own, "the laptop in /etc/hosts")
    assert box.finds("box.tox.internal") == set(box.addresses)
    assert box.hosts.read_text().startswith(THEIRS)
    box.configure('name = "Box"')
    box.toxvpn("reload")
    box.until(lambda: box.hosts.read_text() == THEIRS, "the file as it was")
    box.configure('name = "Box"\nhosts = true')
    box.toxvpn("reload")
    box.until(lambda: box.finds("notebook.tox.internal") == own, "the names in the file again")


def test_other_machines_are_not_answered(machines: tuple[Laptop, Box]) -> None:
    laptop, box = machines
    [own] = [each for each in laptop.finds("laptop.tox.internal") if ":" in each]
    asked = box.host.run([sys.executable, "-c", ASK, own, "box.tox.internal"], check=False)
    assert "Timeout" in asked.stderr
    assert "dns_foreign" in laptop.toxvpn("status")
    assert box.addresses[1] in laptop.run(f"{sys.executable} -c '{ASK}' {own} box.tox.internal")


def test_names_that_clash_and_names_that_deceive(machines: tuple[Laptop, Box]) -> None:
    laptop, box = machines
    box.configure('name = "Laptop"')
    box.toxvpn("reload")
    first, second = sorted([box.tox_id, laptop.tox_id])
    other = "laptop-2.tox.internal" if second == box.tox_id else "laptop.tox.internal"
    laptop.until(lambda: laptop.finds(other) == set(box.addresses), "a name for each of the two")
    own = "laptop.tox.internal" if first == laptop.tox_id else "laptop-2.tox.internal"
    assert f"{own}" in laptop.toxvpn("status")
    box.configure('name = "bоx"')  # a Cyrillic о
    box.toxvpn("reload")
    laptop.until(lambda: "as 'bоx' is not used" in laptop.toxvpn("status"), "a refused name")
    laptop.until(lambda: not laptop.finds(other) & set(box.addresses), "nothing under the name that it had")
    laptop.toxvpn("peer", "add", box.tox_id, "--name", "nas")
    laptop.until(lambda: laptop.finds("nas.tox.internal") == set(box.addresses), "the name given here")


def test_what_others_take_away_is_put_back(machines: tuple[Laptop, Box]) -> None:
    laptop, box = machines
    laptop.toxvpn("peer", "add", box.tox_id, "--name", "nas")  # once more, unless this test runs alone
    laptop.until(lambda: laptop.finds("nas.tox.internal") == set(box.addresses), "the name given here")
    laptop.run("resolvectl revert toxvpn0")
    laptop.until(lambda: "~tox.internal" in laptop.domains, "the settings that somebody reverted")
    laptop.run(
        "systemctl stop systemd-resolved; rm -rf /run/systemd/resolve/netif; systemctl start systemd-resolved"
    )
    laptop.until(lambda: "~tox.internal" in laptop.domains, "the settings in a new systemd-resolved")
    laptop.run("ip link set toxvpn0 down && ip link set toxvpn0 up")
    laptop.until(
        lambda: laptop.finds("nas.tox.internal") == set(box.addresses), "names on the link again", RESOLVED_S
    )
    assert "put back into systemd-resolved's settings" in laptop.log.read_text()


def test_nothing_is_left_after_a_kill(machines: tuple[Laptop, Box]) -> None:
    laptop, box = machines
    box.configure('name = "box"\nhosts = true')
    box.toxvpn("reload")
    box.until(lambda: box.hosts.read_text() != THEIRS, "names in the file")
    box.stop(signal.SIGKILL)
    assert "notebook.tox.internal" in box.hosts.read_text()
    with box.host.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as dnsmasq:
        dnsmasq.bind(("0.0.0.0", 53))
        box.start_with('name = "box"')
        box.until(lambda: "port 53 of 100." in box.log, "a line about the taken port")
    assert box.hosts.read_text() == THEIRS
    box.stop()
    assert box.hosts.read_text() == THEIRS

    laptop.run(f"kill -KILL $(cat {PID_FILE})")
    laptop.until(lambda: "~tox.internal" not in laptop.run("resolvectl domain"), "a link without settings")
