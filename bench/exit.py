"""An exit against peer to peer: what the way through the box to the Internet costs, and the kill switch.

Two laptops and a box on the lab's internet; one of them uses the box as its exit, to a web host there. One
TCP flow each way over IPv4 and IPv6, by turns: to the box without an exit, to the box with it, through it.
"""

from functools import partial

from lab import Host, Lab, apps, wait_until

from . import traffic
from .harness import ONLINE_S, OURS, arguments, median, progress, ratio, spread, table
from .vpn_pair import VpnSide

FLOWS = {"IPv4 ->": (4, False), "IPv4 <-": (4, True), "IPv6 ->": (6, False), "IPv6 <-": (6, True)}
WAYS = ("peer to peer", "peer to peer, with an exit", "through the exit")


def section(key: str, value: str, peers: dict[str, VpnSide], more: str = "") -> str:
    """The text of a config.toml."""
    named = "".join(f'[peers.{name}]\nid = "{side.tox_id}"\n{more}' for name, side in peers.items())
    return f"[vpn]\n{key and f'{key} = {value}'}\n{named}"


def addresses(side: VpnSide) -> dict[int, str]:
    own = side.status()["self"]
    return {4: str(own["ipv4"]), 6: str(own["ipv6"])}


def ways(lab: Lab) -> dict[str, tuple[Host, dict[int, str]]]:
    """All three, up: who sends, and the address of the other end by IP version."""
    lab.bootstrap()
    web, box, plain, laptop = (lab.host(name) for name in ("web", "box", "plain", "laptop"))
    sides = {host.name: VpnSide(host, lab.nodes_json, OURS) for host in (box, plain, laptop)}
    laptops = {name: sides[name] for name in ("plain", "laptop")}
    for side, text in (
        (sides["box"], section("", "", laptops, "may_exit = true\n")),
        (sides["plain"], section("", "", {"box": sides["box"]})),
        (sides["laptop"], section("exit", '"box"', {"box": sides["box"]})),
    ):
        side.directory.joinpath("config.toml").write_text(text)
        side.up()
    for side in laptops.values():
        wait_until(partial(VpnSide.is_direct, side), "direct connection of toxvpn", ONLINE_S, 0.2)
    there = {4: str(web.ipv4), 6: str(web.ipv6)}
    ends = dict(
        zip(
            WAYS,
            ((plain, addresses(sides["box"])), (laptop, addresses(sides["box"])), (laptop, there)),
            strict=True,
        )
    )
    for host in (box, web):
        apps.iperf3_server(host)
    for host, found in ends.values():
        for each in found.values():
            wait_until(partial(traffic.answers, host, each), f"answer from {each}", ONLINE_S)
    return ends


def main() -> None:
    given = arguments(__doc__, runs=3, seconds=4)
    with Lab() as lab:
        ends = ways(lab)
        mbit: dict[str, dict[str, list[float]]] = {way: {flow: [] for flow in FLOWS} for way in WAYS}
        for run in range(given.runs):
            for flow, (version, reverse) in FLOWS.items():
                for way, (host, found) in ends.items():
                    rate = traffic.tcp_mbit(host, found[version], given.seconds, reverse=reverse)
                    mbit[way][flow].append(rate)
            progress(f"run {run + 1}: {', '.join(f'{w} {median(mbit[w][flow]):.0f} Mbit/s' for w in WAYS)}")
        rows = [[way, *(spread(mbit[way][flow], ".0f") for flow in FLOWS)] for way in WAYS]
        rows += [
            [f"ratio, {way}", *(ratio(mbit[way][flow], mbit[WAYS[0]][flow]) for flow in FLOWS)]
            for way in WAYS[1:]
        ]
        table(f"One TCP flow, Mbit/s, median of {given.runs} runs of {given.seconds} s", ["", *FLOWS], rows)


if __name__ == "__main__":
    main()
