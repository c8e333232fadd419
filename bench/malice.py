"""A VPN flow and pings of one peer of a server, while others are hostile: a peer whose packets are made to
harm (attacks.py), peers that overdo what is allowed (guest.py), strangers (stranger.py, relay_flood.py,
asker.py).

The flow is of `--mbit` at most, and the programs that are measured come first on the processors: what counts
is whom the server attends to. Before each attack the same is measured in peace. Processor time is that of the
server's programs; "after" is the third and fourth second after the end of the attack.
"""

import contextlib
import os
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from lab import Host, Lab, LabError, apps, wait_until

from . import blaster_build, guest
from .attacks import LOSSLESS, LOSSY
from .cost import cpu_s, family
from .guest import Guest
from .harness import ONLINE_S, OURS, TOXVPN, arguments, module, percentile, progress, start_giver, table
from .idle import memory_of
from .pair import Site
from .raw_pair import RawEnd
from .vpn_pair import INTERFACE, VpnSide

STATUS = "status messages"
DATAGRAMS = {
    "strangers' pings": ["00"],
    "strangers' searches": ["02"],
    "strangers' cookies": ["18"],
    "strangers' handshakes": ["1a"],
    "strangers' announcements": ["83"],
    "strangers' onion packets": ["80"],
    "strangers' data": ["1b"],
    "pings of spoofed addresses": ["00", "spoofed"],
    "cookies of spoofed addresses": ["18", "spoofed"],
    "data of spoofed addresses": ["1b", "spoofed"],
}
"""Of strangers: the kind in hex, and how."""
CONNECTIONS = {"connections to the relay": "close", "connections held at the relay": "hold"}
REQUESTS = "friend requests"
ATTACKS = (*LOSSLESS, STATUS, *LOSSY, *guest.ATTACKS, *DATAGRAMS, *CONNECTIONS, REQUESTS)
"""Those first whose rate libtoxcore lowers after a flood that lost packets."""
GOAL_SHARE = 0.5
GOAL_IDLE_PERCENT = 5.0
GOAL_MEMORY_MB = 50.0
PRIORITY = -10
UDP_PORT, TCP_PORT = 40000, 40001
CONFIG = """
[node]
nodes_file = "{nodes}"
udp_ports = "{port}:{port}"
tcp_port = {tcp_port}
[server]
secret_file = "{directory}/secret"
[vpn]
interface = "{interface}"
[peers.good]
id = "{good}"
[peers.hostile]
id = "{hostile}"
routes = "all"
"""


def put_first(pid: int) -> None:
    """On the processors; the kernel may let sessions compete, not processes (sched(7), autogroup)."""
    os.setpriority(os.PRIO_PROCESS, pid, PRIORITY)
    with contextlib.suppress(FileNotFoundError):
        Path(f"/proc/{pid}/autogroup").write_text(f"{PRIORITY}\n")


class Victim:
    """`toxvpn run` on a host, with a good peer and a hostile one."""

    def __init__(self, lab: Lab) -> None:
        self.host, self.near, far = (lab.host(name, ipv6=False) for name in ("victim", "good", "hostile"))
        blaster_build.build()
        self.good = VpnSide(self.near, lab.nodes_json, OURS)
        self.hostile = Attacker(far, OURS)
        directory = self.host.directory / "toxvpn"
        directory.mkdir(mode=0o700)
        secret = Site.secret
        text = CONFIG.format(
            nodes=lab.nodes_json, directory=directory, interface=INTERFACE, good=self.good.tox_id,
            hostile=self.hostile.tox_id, port=UDP_PORT, tcp_port=TCP_PORT,
        )  # fmt: skip
        for name, content in (("secret", f"{secret}\n"), ("config.toml", text)):
            directory.joinpath(name).write_text(content)
            directory.joinpath(name).chmod(0o600)
        self.tox_id = self.host.run([TOXVPN, "id", "-C", str(directory)]).stdout.strip()
        self.log = directory.with_suffix(".log")
        with self.log.open("wb") as log:
            argv = [TOXVPN, "run", "-C", str(directory)]
            self.process = self.host.popen(argv, stdout=subprocess.DEVNULL, stderr=log)
        self.nodes = lab.nodes_json
        self.folder = self.host.directory / "received"
        self.folder.mkdir()
        self.good.up(self.tox_id)
        self.guest = Guest(lab.host("guest", ipv6=False), lab.nodes_json, self.tox_id, secret)
        self.hostile.ask("join", str(lab.nodes_json), self.tox_id, (secret.encode() + b"\0").hex())

    def wait_direct(self) -> str:
        """Returns the victim's address on the VPN."""
        wait_until(self.good.is_direct, "direct connection of the VPN", ONLINE_S, 0.2)
        wait_until(lambda: self.hostile.ask("online"), "the hostile peer", ONLINE_S, 0.2)
        self.guest.wait_connected()
        with (self.host.directory / "receive.log").open("wb") as log:
            directory = self.host.directory / "toxvpn"
            argv = [TOXVPN, "receive", "-C", str(directory), "--into", str(self.folder)]
            self.host.popen(argv, stdout=subprocess.DEVNULL, stderr=log)
        address: str = self.good.status()["peers"][0]["ipv4"]
        wait_until(lambda: bool(self.near.ping(address)), "an answer over the VPN", ONLINE_S)
        for program in (self.process, self.good.process):
            for pid in family(program.pid):
                put_first(pid)
        return address

    def cpu_s(self) -> float:
        return cpu_s(self.process.pid)

    def memory_mb(self) -> float:
        return sum(memory_of(pid).rss_mb for pid in family(self.process.pid))


class Attacker(RawEnd):
    program = "hostile"

    @property
    def tox_id(self) -> str:
        return str(self.hello["tox_id"])


@dataclass(frozen=True, slots=True)
class Figures:
    mbit: float
    ping_ms: list[float]
    lost: int
    cpu_percent: float


@dataclass(frozen=True, slots=True)
class Row:
    attack: str
    sent_per_s: float
    peace: Figures
    attacked: Figures
    after_percent: float
    grown_mb: float

    @property
    def share(self) -> float:
        return self.attacked.mbit / self.peace.mbit

    @property
    def met(self) -> bool:
        return (
            self.share >= GOAL_SHARE
            and self.after_percent < GOAL_IDLE_PERCENT
            and self.grown_mb < GOAL_MEMORY_MB
        )

    def cells(self) -> list[str]:
        pings = [
            f"{percentile(each.ping_ms, 50):.1f}" if each.ping_ms else "-"
            for each in (self.peace, self.attacked)
        ]
        return [
            self.attack, f"{self.sent_per_s / 1000:.1f}",
            f"{self.peace.mbit:.0f}", f"{self.attacked.mbit:.0f}", f"{self.share:.2f}", *pings,
            f"{self.attacked.lost}", f"{self.attacked.cpu_percent:.0f}", f"{self.after_percent:.1f}",
            f"{self.grown_mb:.1f}", "met" if self.met else "MISSED",
        ]  # fmt: skip


HEADER = [
    "", "kpps", "Mbit/s in peace", "attacked", "share", "ping ms in peace", "attacked", "pings lost",
    "CPU %", "after %", "memory MB", f"> {GOAL_SHARE:g}",
]  # fmt: skip


class Pinger(threading.Thread):
    INTERVAL_S = 0.05

    def __init__(self, host: Host, address: str, seconds: float) -> None:
        super().__init__()
        self.count = int(seconds / self.INTERVAL_S)
        self.times_ms: list[float] = []
        self._host, self._address = host, address

    def run(self) -> None:
        self.times_ms = self._host.ping(self._address, self.count, 1.0)


def measure(victim: Victim, address: str, mbit: int, seconds: int) -> Figures:
    pinger = Pinger(victim.near, address, seconds)
    began_s, before_s = time.monotonic(), victim.cpu_s()
    pinger.start()
    try:
        report = apps.iperf3_report(victim.near, address, "-b", f"{mbit}M", seconds=seconds)
        carried = report["sum_received"]["bytes"] * 8 / 1e6
    except LabError:  # not even its control connection got through
        carried = 0.0
    took_s = time.monotonic() - began_s  # a flow that began late has carried less
    cpu_percent = 100 * (victim.cpu_s() - before_s) / took_s
    pinger.join()
    return Figures(carried / took_s, pinger.times_ms, pinger.count - len(pinger.times_ms), cpu_percent)


class Attack(threading.Thread):
    def __init__(self, victim: Victim, name: str, address: str, seconds: float) -> None:
        super().__init__()
        self.sent = 0
        self.begun = threading.Event()
        self._victim, self._name, self._address, self._seconds = victim, name, address, seconds

    def run(self) -> None:
        try:
            self._attack()
        finally:
            self.begun.set()

    def _attack(self) -> None:
        victim, name = self._victim, self._name
        if program := self._stranger():
            self.sent = self._carry_out(program)
        elif name in guest.ATTACKS:
            self.sent = victim.guest.attack(name, self._seconds, self.begun.set, victim.folder)
        else:
            self.begun.set()
            self.sent = victim.hostile.ask("attack", name, self._address, self._seconds)

    def _stranger(self) -> list[str]:
        """Its argv."""
        victim, name = self._victim, self._name
        if name in DATAGRAMS:
            kind, *how = DATAGRAMS[name]
            return module("stranger", victim.host.ipv4, UDP_PORT, kind, self._seconds, *how)
        if name in CONNECTIONS:
            return module("relay_flood", victim.host.ipv4, TCP_PORT, self._seconds, CONNECTIONS[name])
        return module("asker", victim.nodes, victim.tox_id, self._seconds) if name == REQUESTS else []

    def _carry_out(self, argv: list[str]) -> int:
        process = self._victim.hostile.host.popen(argv, stdout=subprocess.PIPE)
        assert process.stdout
        process.stdout.readline()
        self.begun.set()
        return int(process.stdout.readline() or 0)


def attacked(victim: Victim, address: str, name: str, mbit: int, seconds: int) -> Row:
    wait_until(lambda: victim.hostile.ask("online"), "the hostile peer, again", ONLINE_S, 0.2)
    peace = measure(victim, address, mbit, seconds)
    before_mb = victim.memory_mb()
    lasts_s = seconds + 1.5
    attack = Attack(victim, name, address, lasts_s)
    attack.start()
    attack.begun.wait()
    time.sleep(0.7)  # the hostile peer makes its packets first
    during = measure(victim, address, mbit, seconds)
    attack.join()
    if victim.process.poll() is not None:
        raise LabError(f"the victim ended: {victim.log.read_text()[-3000:]}")
    time.sleep(2)
    began_s, used_s = time.monotonic(), victim.cpu_s()
    time.sleep(2)
    after_percent = 100 * (victim.cpu_s() - used_s) / (time.monotonic() - began_s)
    return Row(name, attack.sent / lasts_s, peace, during, after_percent, victim.memory_mb() - before_mb)


def main() -> None:
    given = arguments(__doc__, only="", mbit=200, seconds=3)
    names = [name for name in ATTACKS if any(word in name for word in given.only.split(","))]
    rows = []
    with Lab() as lab:
        lab.bootstrap()
        victim = Victim(lab)
        start_giver(victim.host)
        apps.iperf3_server(victim.host)
        address = victim.wait_direct()
        for name in names:
            row = attacked(victim, address, name, given.mbit, given.seconds)
            progress("  ".join(row.cells()))
            rows.append(row.cells())
        lines = victim.log.read_text().splitlines()
    table(f"A flow of {given.mbit} Mbit/s over the VPN beside a hostile peer", HEADER, rows)
    print(f"\nlines in the victim's log: {len(lines)}")
    for line in lines[-20:]:
        progress(line)


if __name__ == "__main__":
    main()
