"""Two hosts whose toxvpn are connected, and a stream between them that ticks (lab/ticks.py)."""

import contextlib
import re
import time
from functools import partial
from pathlib import Path
from socket import SO_REUSEADDR, SOL_SOCKET
from socket import socket as Socket  # noqa: N812
from subprocess import Popen

from lab import Host, Lab, LabError, wait_until
from lab.faults import kill
from lab.ticks import TickingStream

from .cost import cpu_s, family
from .harness import ONLINE_S, OURS
from .pair import Client, Server, Site
from .vpn_pair import VpnSide

TARGET_PORT = 9000
USER = "nobody"
OPEN_S = 60.0
"""A client that starts anew is found, and its stream open, by then."""
RELAY_PORT = re.compile(r"\s([0-9.]+|\[[0-9a-f:]+\]):(?:443|33445)\b")
ACKED = re.compile(r"bytes_acked:(\d+)")


class Pair:
    """Connected by `path`: udp or tcp-relay. `ends`: whether the stream ends with either process."""

    client: "Popen[bytes]"
    server: "Popen[bytes]"
    ends = True

    def __init__(self, lab: Lab, client_host: Host, server_host: Host, path: str = "udp") -> None:
        self.lab, self.client_host, self.server_host, self.path = lab, client_host, server_host, path
        self._listener = server_host.socket()
        self._listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        self._listener.bind(("", TARGET_PORT))
        self._listener.listen()
        self._listener.settimeout(ONLINE_S)
        self._open()
        self.stream = self._connected()

    def is_direct(self) -> bool:
        raise NotImplementedError

    def renew(self) -> None:
        """Another stream, for one that has ended."""
        self.stream.close()
        self.stream = self._connected()

    def kill(self, process: "Popen[bytes]") -> None:
        kill(process)
        if self.ends:
            self.stream.close()

    def start_client(self) -> None:
        """Again, after it was killed."""
        raise NotImplementedError

    def start_server(self) -> None:
        raise NotImplementedError

    def cpu_s(self) -> float:
        """Processor time that both have used so far."""
        return cpu_s(self.client.pid) + cpu_s(self.server.pid)

    def memory_bytes(self) -> int:
        """Resident, of both."""
        pids = [member for process in (self.client, self.server) for member in family(process.pid)]
        return sum(map(_resident_bytes, pids))

    def relay(self) -> str:
        """The address of the relay that carries the stream, as the client's connections tell."""
        before = self._acked()
        after: dict[str, int] = {}
        deadline = time.monotonic() + 5.0
        while not after and time.monotonic() < deadline:
            time.sleep(0.5)
            after = {peer: acked - before.get(peer, 0) for peer, acked in self._acked().items()}
        if not after:
            raise LabError(f"{self.client_host.name} has no connection to a relay")
        return max(after, key=lambda peer: after[peer])

    def _acked(self) -> dict[str, int]:
        shown = self.client_host.run(["ss", "-tinOH", "state", "established"]).stdout
        found = {}
        for line in shown.splitlines():
            peers, acked = RELAY_PORT.findall(line), ACKED.search(line)
            if peers and acked:
                found[peers[-1].strip("[]").removeprefix("::ffff:")] = int(acked[1])
        return found

    def _open(self) -> None:
        """Starts toxvpn on both."""
        raise NotImplementedError

    def _dial(self) -> Socket:
        raise NotImplementedError

    def sockets(self) -> tuple[Socket, Socket]:
        """Both ends of a new stream."""
        near = self._dial()
        far, _ = self._listener.accept()
        return near, far

    def _connected(self) -> TickingStream:
        return TickingStream(*self.sockets())


class ForwardPair(Pair):
    """`toxvpn -L` and its server, as an unprivileged user."""

    road = "auto"

    def is_direct(self) -> bool:
        return self._forward.path() == self.path

    def start_client(self) -> None:
        self._forward = Client(self._called, TARGET_PORT, "--road", self.road)
        self.client = self._forward.process
        self._reopen()

    def start_server(self) -> None:
        self._called.start()
        self.server = self._called.process
        self._reopen()

    def _open(self) -> None:
        site = Site(self.server_host, self.client_host, self.lab.nodes_json, OURS, USER)
        self._called = Server(site)
        self._forward = Client(self._called, TARGET_PORT, "--road", self.road)
        self.client, self.server = self._forward.process, self._called.process
        self._forward.wait_path(self.path)

    def _dial(self) -> Socket:
        return self._forward.connect()

    def _reopen(self) -> None:
        """A stream that ticks, by as many attempts as it takes: a listener resets what it cannot carry."""
        deadline = time.monotonic() + OPEN_S
        while time.monotonic() < deadline:
            with contextlib.suppress(LabError, OSError):
                self.renew()
                self.stream.next_tick(time.monotonic(), 20.0)
                return
        raise LabError(f"no stream within {OPEN_S:g} s")


class TuntoxPair(ForwardPair):
    road = "tuntox"


class VpnPair(Pair):
    """`toxvpn up` on both, as root. The stream is the hosts' own."""

    ends = False

    def is_direct(self) -> bool:
        return self._near.paths() == [self.path]

    def start_client(self) -> None:
        self._near.up_again()
        self.client = self._near.process

    def start_server(self) -> None:
        self._far.up_again()
        self.server = self._far.process

    def _open(self) -> None:
        hosts = self.client_host, self.server_host
        self._near, self._far = (VpnSide(host, self.lab.nodes_json, OURS) for host in hosts)
        self._near.up(self._far.tox_id)
        self._far.up(self._near.tox_id)
        self.client, self.server = self._near.process, self._far.process
        for side in (self._near, self._far):
            wait_until(
                partial(lambda side: side.paths() == [self.path], side), f"path {self.path}", ONLINE_S, 0.2
            )
        self._address: str = self._far.status()["self"]["ipv4"]

    def _dial(self) -> Socket:
        return self.client_host.connect(self._address, TARGET_PORT, ONLINE_S)


def _resident_bytes(pid: int) -> int:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
    return 0


TRAFFIC: dict[str, type[Pair]] = {"fast": ForwardPair, "tuntox": TuntoxPair, "vpn": VpnPair}
