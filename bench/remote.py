"""-R against -L by turns: one TCP flow through each, both ways.

Two hosts and one veth, an unprivileged user on both sides, one pair of nodes with both forwards. The bytes go
the same way for both, from the same program to the same: only who listens for toxvpn differs.
"""

from dataclasses import dataclass, field

from lab import Host, Lab, apps, wait_until

from .harness import LOCALHOST, OURS, arguments, progress, ratio, spread, table
from .pair import Client, Server, Site

USER = "nobody"
LOCAL_FLOW, REMOTE_FLOW = 7001, 7002


@dataclass(slots=True)
class Figures:
    """`to_server` and `to_client` in Mbit/s."""

    to_server: list[float] = field(default_factory=list)
    to_client: list[float] = field(default_factory=list)


def main() -> None:
    given = arguments(__doc__, runs=5, seconds=3)
    figures = {"-L": Figures(), "-R": Figures()}
    with Lab() as lab:
        lab.bootstrap()
        server_host, client_host = lab.host("server"), lab.host("client")
        for host in (server_host, client_host):
            apps.iperf3_server(host)
        server = Server(
            Site(server_host, client_host, lab.nodes_json, OURS, USER), "--allow-listen", "localhost:*"
        )
        flags = [
            "-R", f"{REMOTE_FLOW}:{LOCALHOST}:{apps.IPERF3_PORT}",
            "-L", f"{LOCAL_FLOW}:{LOCALHOST}:{apps.IPERF3_PORT}",
        ]  # fmt: skip
        with Client(server, apps.IPERF3_PORT, *flags) as client:
            client.wait_path("udp")
            wait_until(lambda: client.log.read_text().count(" of peer ") == 1, "the listener", 30)
            for run in range(given.runs):
                measure(client_host, LOCAL_FLOW, figures["-L"], given.seconds, to_server=True)
                measure(server_host, REMOTE_FLOW, figures["-R"], given.seconds, to_server=False)
                progress(f"run {run + 1}: " + ", ".join(shown(name, each) for name, each in figures.items()))
    report(figures)


def measure(host: Host, flow: int, figures: Figures, seconds: int, *, to_server: bool) -> None:
    """From `host`, whose own sending goes to the server or, with -R, to the client."""
    sent = apps.iperf3(host, LOCALHOST, flow, seconds=seconds)
    received = apps.iperf3(host, LOCALHOST, flow, seconds=seconds, reverse=True)
    (figures.to_server if to_server else figures.to_client).append(sent)
    (figures.to_client if to_server else figures.to_server).append(received)


def shown(name: str, figures: Figures) -> str:
    return f"{name} {figures.to_server[-1]:.0f} and {figures.to_client[-1]:.0f} Mbit/s"


def report(figures: dict[str, Figures]) -> None:
    rows = [
        [
            name,
            spread(each.to_server, ".0f"),
            spread(each.to_client, ".0f"),
        ]
        for name, each in figures.items()
    ]
    local, remote = figures["-L"], figures["-R"]
    rows.append(
        [
            "-R/-L",
            ratio(remote.to_server, local.to_server),
            ratio(remote.to_client, local.to_client),
        ]
    )
    columns = ("", "to the server, Mbit/s", "to the client, Mbit/s")
    table("one flow through -L and through -R, by turns", columns, rows)


if __name__ == "__main__":
    main()
