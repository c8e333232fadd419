"""An exit against peer to peer: what the way through the box to the Internet costs, and the kill switch.

Two laptops and a box on the lab's internet; one of them uses the box as its exit, to a web host there. One
TCP flow each way over IPv4 and IPv6, by turns: to the box without an exit, to the box with it, through it.
"""

from functools import partial

from lab import Lab, wait_until

from . import traffic
from .harness import ONLINE_S, OURS, arguments
from .vpn_pair import VpnSide

WAYS = ("peer to peer", "peer to peer, with an exit", "through the exit")


def section(key: str, value: str, peers: dict[str, VpnSide], more: str = "") -> str:
    """The text of a config.toml."""
    named = "".join(f'[peers.{name}]\nid = "{side.tox_id}"\n{more}' for name, side in peers.items())
    return f"[vpn]\n{key and f'{key} = {value}'}\n{named}"


def addresses(side: VpnSide) -> dict[int, str]:
    own = side.status()["self"]
    return {4: str(own["ipv4"]), 6: str(own["ipv6"])}


def ways(lab: Lab) -> traffic.Ends:
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
    traffic.serve_flows(ends, box, web)
    return ends


def main() -> None:
    given = arguments(__doc__, runs=3, seconds=4)
    with Lab() as lab:
        traffic.compare_flows(ways(lab), given.runs, given.seconds)


if __name__ == "__main__":
    main()
