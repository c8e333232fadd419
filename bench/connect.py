"""Time from process start to the first byte through -L, server warm, a new client each time (goal: 3.5 s).

Both hosts public, and both behind cone NATs of their own; with the accelerated clock and with toxcore's.
"""

import time

from lab import Host, Lab, apps

from .harness import Environment, arguments, median, progress, spread, table
from .pair import Client, Server, Site, receive

GOAL_S = 3.5
CLOCKS: dict[str, Environment] = {"accelerated": {}, "not": {"TOXVPN_CLOCK": "off"}}


def first_byte_s(server: Server, environment: Environment) -> tuple[float, str]:
    """The time, and the path that the byte took."""
    began_s = time.monotonic()
    with Client(server, apps.ECHO_PORT, environment=environment) as client, client.connect() as sock:
        sock.sendall(b"x")
        receive(sock, 1)
        return time.monotonic() - began_s, client.path()


def measure(lab: Lab, scene: str, hosts: tuple[Host, Host], runs: int) -> list[list[str]]:
    echo = apps.echo_server(hosts[0])
    server = Server(Site(*hosts, lab.nodes_json, {}))
    times_s: dict[str, list[float]] = {clock: [] for clock in CLOCKS}
    paths: dict[str, list[str]] = {clock: [] for clock in CLOCKS}
    for _ in range(runs):
        for clock, environment in CLOCKS.items():
            took_s, path = first_byte_s(server, environment)
            times_s[clock].append(took_s)
            paths[clock].append(path)
            progress(f"{scene}, {clock}: {took_s:.2f} s by {path}")
    server.stop()
    hosts[0].stop(echo)
    return [
        [
            f"{scene}, {clock}",
            spread(values, ".2f"),
            f"{paths[clock].count('udp')} of {runs}",
            ("met" if median(values) <= GOAL_S else "MISSED") if clock == "accelerated" else "",
        ]
        for clock, values in times_s.items()
    ]


def main() -> None:
    given = arguments(__doc__, runs=10)
    with Lab() as lab:
        lab.bootstrap()
        public = lab.host("server"), lab.host("client")
        rows = measure(lab, "public hosts", public, given.runs)
        behind = lab.nat("office").host("server2"), lab.nat("home").host("client2")
        rows += measure(lab, "behind NATs", behind, given.runs)
    table(
        f"Start to first byte through -L, s, median of {given.runs}",
        ["clock of the client", "s", "by udp", f"goal {GOAL_S} s"],
        rows,
    )


if __name__ == "__main__":
    main()
