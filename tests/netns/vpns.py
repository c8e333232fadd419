"""Machines of the lab on a VPN: `toxvpn up` as a user runs it there, and its status."""

import contextlib
import hashlib
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from forwards import Running

from lab import Host, Lab, LabError, wait_until
from toxvpn.control.client import call

TOXVPN = (sys.executable, "-m", "toxvpn")
INTERFACE = "toxvpn0"
CONNECTING_S = 45.0
STARTING_S = 20.0


class Up(Running):
    """A running `toxvpn up`, as root; its stderr is in `log`."""

    def __init__(self, machine: "Machine", number: int, *arguments: str, prefix: tuple[str, ...]) -> None:
        self.host = machine.host
        self.log = machine.directory.with_name(f"{machine.directory.name}-up-{number}.log")
        with self.log.open("wb") as log:
            self.process = machine.host.popen([*prefix, *machine.argv("up", *arguments)], stderr=log)


class Machine:
    """A host with a toxvpn directory, and so a Tox ID, of its own; `up` is the last one started."""

    def __init__(self, lab: Lab, host: Host, directory: str = "toxvpn") -> None:
        self.lab = lab
        self.host = host
        self.directory = host.directory / directory
        self.tox_id = self.toxvpn("id").stdout.strip()
        self._runs = 0

    @property
    def public_key(self) -> bytes:
        return bytes.fromhex(self.tox_id[:64])

    @property
    def log(self) -> str:
        return self.up.log_text()

    # -- its toxvpn

    def argv(self, *arguments: str) -> list[str]:
        return [*TOXVPN, "-b", str(self.lab.nodes_json), "-C", str(self.directory), *arguments]

    def toxvpn(
        self, *arguments: str, check: bool = True, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `toxvpn VERB …` here to its end."""
        return self.host.run(self.argv(*arguments), check=check, env=env, timeout_s=CONNECTING_S + 15)

    def start(self, *arguments: str, prefix: tuple[str, ...] = ()) -> Up:
        """Start `toxvpn up`, and return when it is up. `prefix` are words before it, such as setpriv's."""
        self._runs += 1
        self.up = Up(self, self._runs, *arguments, prefix=prefix)
        self.up.wait_for("this machine's Tox ID", STARTING_S)
        return self.up

    def stop(self, how: signal.Signals | None = None) -> int:
        """Stop it by `toxvpn down`, or by a signal, and return the exit code."""
        if how is None:
            self.toxvpn("down")
        else:
            self.up.process.send_signal(how)
        return self.up.process.wait(STARTING_S)

    def wait(self, *arguments: str) -> None:
        self.toxvpn("wait", "--timeout", str(CONNECTING_S), *arguments)

    # -- its status, as in `toxvpn status --json`

    def status(self) -> dict[str, Any]:
        document: dict[str, Any] = call(self.directory, "status")
        return document

    def peer(self, public_key: bytes) -> dict[str, Any] | None:
        key = public_key.hex().upper()
        return next((peer for peer in self.status()["peers"] if peer["public_key"] == key), None)

    def sees(self, public_key: bytes) -> dict[str, Any]:
        found = self.peer(public_key)
        assert found is not None, f"{public_key.hex()} is not among the peers"
        return found

    @property
    def ipv4(self) -> str:
        return str(self.status()["self"]["ipv4"])

    @property
    def ipv6(self) -> str:
        return str(self.status()["self"]["ipv6"])

    @property
    def addresses(self) -> tuple[str, str]:
        own = self.status()["self"]
        return own["ipv4"], own["ipv6"]

    def reaches(self, *addresses: str) -> bool:
        """Whether each answers a ping in the end; a path that changes may lose the first ones."""
        for address in addresses:
            ping = partial(self.host.ping, address, timeout_s=0.5)
            wait_until(ping, f"answer from {address} to {self.host.name}")
        return True

    def until(self, condition: Callable[[], object], what: str, timeout_s: float = 10.0) -> None:
        """Wait for a state; on failure the log is part of the message."""
        try:
            wait_until(condition, what, timeout_s, poll_s=0.05)
        except LabError as error:
            raise LabError(f"{error}; the log of {self.host.name}:\n{self.log}") from None


class SteadyPing:
    """A ping from a host to an address that goes on until it is asked what was lost."""

    FEWEST = 50

    def __init__(self, sender: Host, address: str) -> None:
        self._output = sender.directory / f"ping-{address.replace(':', '-')}"
        with self._output.open("wb") as output:
            self._process = sender.popen(["ping", "-n", "-i", "0.02", address], stdout=output)

    def lost(self) -> list[int]:
        """The numbers of the pings without an answer, of those before the last answered one.

        A quick test waits until there are enough of them.
        """
        wait_until(lambda: len(self._answered()) > self.FEWEST, f"{self.FEWEST} answers to pings")
        self._process.send_signal(signal.SIGINT)
        self._process.wait(10)
        answered = self._answered()
        return sorted(set(range(1, max(answered))) - set(answered))

    def _answered(self) -> list[int]:
        return [int(number) for number in re.findall(r"icmp_seq=(\d+) ttl", self._output.read_text())]


def network_of(host: Host) -> dict[str, str]:
    """Everything in the host's network that toxvpn could change, as `ip` shows it."""
    commands = ("link", "addr", "route show table all", "-6 route show table all", "rule", "-6 rule")
    return {command: host.run(["ip", *command.split()]).stdout for command in commands}


def connected(*machines: Machine, arguments: Mapping[str, tuple[str, ...]] | None = None) -> None:
    """Connect each machine with every other. `arguments` are by name of the host."""
    for machine in machines:
        peers = [word for other in machines if other is not machine for word in ("--peer", other.tox_id)]
        machine.start(*peers, *(arguments or {}).get(machine.host.name, ()))
    for machine in machines:
        machine.wait()


@contextlib.contextmanager
def arrives_unchanged(receiver: Host, data: bytes) -> Iterator[None]:
    """Check that what the block sends to the receiver's port 7, and then ends, arrives there as `data`."""
    received = hashlib.sha256()

    def receive() -> None:
        with listener.accept()[0] as sock:
            sock.settimeout(CONNECTING_S)
            while part := sock.recv(1 << 20):
                received.update(part)

    with receiver.call(socket.create_server, ("::", 7), family=socket.AF_INET6, dualstack_ipv6=True) as (
        listener
    ):
        thread = threading.Thread(target=receive)
        thread.start()
        yield
        thread.join(CONNECTING_S)
    assert received.digest() == hashlib.sha256(data).digest()
