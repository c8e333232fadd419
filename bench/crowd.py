"""One server with many clients: how long they take to connect, and what the server needs for them.

Each client is a process with a new identity and a `-L` to an echo server. All start at once, on a few hosts;
a client is connected when its forward has answered. Then the server's processor time while nothing happens,
its memory with all of them and after they have gone, and many streams through one client on each road (the
tuntox road has 256 for each friend).
"""

import contextlib
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from lab import Host, Lab, LabError, apps

from .cost import cpu_s, family
from .harness import LOCALHOST, OURS, TOXVPN, arguments, percentile, progress, spread, table
from .idle import memory_of
from .pair import LISTEN_PORT, Client, Server, Site

HOSTS = 4
PATIENCE_S = 90.0
SETTLE_S = 10.0


@dataclass(frozen=True, slots=True)
class Needs:
    cpu_percent: float
    memory_mb: float

    def cells(self) -> list[str]:
        return [f"{self.cpu_percent:.2f}", f"{self.memory_mb:.1f}"]


def needs(server: Server, seconds: float) -> Needs:
    began_s, used_s = time.monotonic(), cpu_s(server.process.pid)
    time.sleep(seconds)
    percent = 100 * (cpu_s(server.process.pid) - used_s) / (time.monotonic() - began_s)
    return Needs(percent, sum(memory_of(pid).rss_mb for pid in family(server.process.pid)))


def answers(host: Host, port: int) -> bool:
    """Whether a byte through the forward there comes back."""
    with contextlib.suppress(OSError), host.connect(LOCALHOST, port, PATIENCE_S) as sock:
        sock.settimeout(PATIENCE_S)
        sock.sendall(b"x")
        return sock.recv(1) == b"x"
    return False


def connect(server: Server, host: Host, port: int) -> tuple[float, "subprocess.Popen[bytes]"]:
    """Starts a client; the seconds until its forward answered."""
    forward = f"{LOCALHOST}:{port}:{LOCALHOST}:{apps.ECHO_PORT}"
    argv = [TOXVPN, "-q", "-b", str(server.site.nodes), "-i", server.tox_id, "--no-share", "-L", forward]
    began_s = time.monotonic()
    client = host.popen(argv, env=server.site.variables(), stderr=subprocess.DEVNULL)
    while time.monotonic() - began_s < PATIENCE_S and client.poll() is None:
        if answers(host, port):
            return time.monotonic() - began_s, client
        time.sleep(0.1)
    raise LabError(f"a client did not connect within {PATIENCE_S:g} s")


def streams(server: Server, road: str, count: int) -> list[str]:
    """That many at once through a client of its own: how many answered, and in what time."""
    with Client(server, apps.ECHO_PORT, "--road", road) as client:
        client.wait_path("udp")
        client.connect().close()
        began_s = time.monotonic()
        with contextlib.ExitStack() as opened:
            socks = [
                opened.enter_context(client.site.client.connect(LOCALHOST, LISTEN_PORT)) for _ in range(count)
            ]
            for sock in socks:
                sock.settimeout(30)
                with contextlib.suppress(OSError):
                    sock.sendall(b"x")
            good = 0
            for sock in socks:
                with contextlib.suppress(OSError):
                    good += sock.recv(1) == b"x"
            took_s = time.monotonic() - began_s
            return [road, str(good), f"{took_s:.1f}", *needs(server, 1).cells()]


def main() -> None:
    given = arguments(__doc__, clients=50, streams=1000, seconds=10.0)
    with Lab() as lab:
        lab.bootstrap()
        host = lab.host("server")
        apps.echo_server(host)
        others = [lab.host(f"clients{number}") for number in range(HOSTS)]
        server = Server(Site(host, others[0], lab.nodes_json, OURS))
        time.sleep(SETTLE_S)
        rows = [["alone", *needs(server, given.seconds).cells()]]
        with ThreadPoolExecutor(given.clients) as pool:
            places = [(others[at % HOSTS], LISTEN_PORT + 1 + at) for at in range(given.clients)]
            found = list(pool.map(lambda place: connect(server, *place), places))
        times_s = [took_s for took_s, _ in found]
        progress(f"{given.clients} connected: {spread(times_s)} s")
        time.sleep(SETTLE_S)
        rows.append([f"{given.clients} clients, idle", *needs(server, given.seconds).cells()])
        for at, (_, client) in enumerate(found):
            others[at % HOSTS].stop(client)
        many = [streams(server, road, given.streams) for road in ("fast", "tuntox")]
        gone_since_s = time.monotonic()
        for _ in range(3):
            time.sleep(SETTLE_S)
            gone_s = time.monotonic() - gone_since_s
            rows.append([f"{gone_s:.0f} s after all have gone", *needs(server, given.seconds).cells()])
    table(
        f"{given.clients} clients that start at once: seconds to the first answer",
        ["median", "90 %", "all"],
        [[f"{percentile(times_s, percent):.1f}" for percent in (50, 90, 100)]],
    )
    table("The server", ["", "CPU %", "memory MB"], rows)
    table(
        f"{given.streams} streams at once through one client",
        ["road", "answered", "seconds", "server: CPU %", "memory MB"],
        many,
    )


if __name__ == "__main__":
    main()
