"""Time from process start to the first byte through -L, server warm.

Both hosts public; both behind cone NATs of their own; and the same where the server's router maps a port
(PCP). A new client each time (goal: 3 s), with the accelerated clock and with toxcore's, and a client with an
identity that has met the server (goal: 1.5 s).
"""

import time
from pathlib import Path

from lab import Host, Lab, apps, wait_until
from toxvpn.tox.reach.met import MET_NAME

from .harness import ONLINE_S, Environment, arguments, median, progress, spread, table
from .pair import Client, Server, Site, receive

GOALS_S = {"accelerated": 3.0, "met before": 1.5}
CLIENTS: dict[str, Environment] = {"accelerated": {}, "not": {"TOXVPN_CLOCK": "off"}, "met before": {}}
"""By what is special about the client; the last one has an identity, and has been there once."""


def first_byte_s(server: Server, environment: Environment, *flags: str) -> tuple[float, str]:
    """The time, and the path that the byte took."""
    began_s = time.monotonic()
    with Client(server, apps.ECHO_PORT, *flags, environment=environment) as client, client.connect() as sock:
        sock.sendall(b"x")
        receive(sock, 1)
        return time.monotonic() - began_s, client.path()


def meet(server: Server, directory: Path) -> None:
    """A first run with that identity, long enough for both to tell where they are."""
    directory.mkdir(mode=0o700)
    with Client(server, apps.ECHO_PORT, "-C", str(directory)) as client, client.connect() as sock:
        sock.sendall(b"x")
        receive(sock, 1)
        wait_until((directory / MET_NAME).exists, "record of the server", ONLINE_S)


def measure(lab: Lab, scene: str, hosts: tuple[Host, Host], runs: int) -> list[list[str]]:
    echo = apps.echo_server(hosts[0])
    server = Server(Site(*hosts, lab.nodes_json, {}))
    identity = hosts[1].directory / "identity"
    meet(server, identity)
    times_s: dict[str, list[float]] = {kind: [] for kind in CLIENTS}
    paths: dict[str, list[str]] = {kind: [] for kind in CLIENTS}
    for _ in range(runs):
        for kind, environment in CLIENTS.items():
            flags = ("-C", str(identity)) if kind == "met before" else ()
            took_s, path = first_byte_s(server, environment, *flags)
            times_s[kind].append(took_s)
            paths[kind].append(path)
            progress(f"{scene}, {kind}: {took_s:.2f} s by {path}")
    server.stop()
    hosts[0].stop(echo)
    return [
        [
            f"{scene}, {kind}",
            spread(values, ".2f"),
            f"{paths[kind].count('udp')} of {runs}",
            ("met" if median(values) <= GOALS_S[kind] else "MISSED") if kind in GOALS_S else "",
        ]
        for kind, values in times_s.items()
    ]


def main() -> None:
    given = arguments(__doc__, runs=10)
    with Lab() as lab:
        lab.bootstrap()
        public = lab.host("server"), lab.host("client")
        rows = measure(lab, "public hosts", public, given.runs)
        behind = lab.nat("office").host("server2"), lab.nat("home").host("client2")
        rows += measure(lab, "behind NATs", behind, given.runs)
        mapped = lab.nat("mapping", maps=["pcp"]).host("server3"), lab.nat("home3").host("client3")
        rows += measure(lab, "behind NATs, the server's maps a port", mapped, given.runs)
    table(
        f"Start to first byte through -L, s, median of {given.runs}",
        ["client", "s", "by udp", "goal 3 s, 1.5 s"],
        rows,
    )


if __name__ == "__main__":
    main()
