"""The VPN by way of a common friend against the direct path, by turns: one TCP flow each way, and pings.

Between the two hosts a filter drops UDP, or does not; the friend relays for both all the time. All three
share the processors of this machine: on machines of their own, the friend's work would be beside that of
the ends.
"""

import statistics
import time
from functools import partial
from pathlib import Path

from lab import Host, Lab, apps, wait_until

from .cost import cpu_s
from .harness import ONLINE_S, OURS, arguments, progress, ratio, spread, table
from .vpn_pair import VpnSide

PATHS = {"direct": "udp", "friend": "friend"}
WAYS = {"to the peer": False, "back": True}
SETTLE_S = 3.0
WALL = """
table inet wall {{
  chain output {{ type filter hook output priority filter; ip daddr {0} meta l4proto udp drop; }}
  chain input {{ type filter hook input priority filter; ip saddr {0} meta l4proto udp drop; }}
}}
"""


class ThreeFriends:
    """near and far, and box, which relays for both; each names the others."""

    def __init__(self, near: Host, far: Host, box: Host, nodes: Path) -> None:
        self.sides = {host.name: VpnSide(host, nodes, OURS) for host in (near, far, box)}
        self.near, self.far, _ = self.sides.values()
        for name, side in self.sides.items():
            text = "[vpn]\n" if name != "box" else '[vpn]\n[node]\nrelay_for = ["near", "far"]\n'
            for other, its in self.sides.items():
                if other != name:
                    text += f'[peers.{other}]\nid = "{its.tox_id}"\n'
            (side.directory / "config.toml").write_text(text)
            side.up()

    def go(self, path: str) -> None:
        """Have both be on that path."""
        self.near.host.run(["nft", "delete", "table", "inet", "wall"], check=False)
        if path == "friend":
            self.near.host.run(["nft", "-f", "-"], input=WALL.format(self.far.host.ipv4))
        wait_until(partial(self._are_on, PATHS[path]), f"the path to be {path}", ONLINE_S, 0.2)
        time.sleep(SETTLE_S)

    def _are_on(self, path: str) -> bool:
        ends = ((self.near, "far"), (self.far, "near"))
        return all(
            peer["path"] == path
            for side, other in ends
            for peer in side.status().get("peers", [{"name": other, "path": None}])
            if peer["name"] == other
        )

    def cpu_s(self) -> float:
        return sum(cpu_s(side.process.pid) for side in self.sides.values())


def main() -> None:
    given = arguments(__doc__, runs=3, seconds=4, pings=50)
    mbit: dict[tuple[str, str], list[float]] = {(path, way): [] for path in PATHS for way in WAYS}
    cost: dict[tuple[str, str], list[float]] = {key: [] for key in mbit}
    rtt_ms: dict[str, list[float]] = {path: [] for path in PATHS}
    with Lab() as lab:
        lab.bootstrap()
        near, far, box = (lab.host(name, ipv6=False) for name in ("near", "far", "box"))
        three = ThreeFriends(near, far, box, lab.nodes_json)
        three.go("direct")
        address = three.far.status()["self"]["ipv4"]
        apps.iperf3_server(far)
        for _ in range(given.runs):
            for path in PATHS:
                three.go(path)
                progress(path)
                rtt_ms[path].append(statistics.median(near.ping(address, given.pings)))
                for way, reverse in WAYS.items():
                    before = three.cpu_s()
                    options = ["-R"] if reverse else []
                    report = apps.iperf3_report(near, address, *options, seconds=given.seconds)
                    bits = float(report["sum_received"]["bits_per_second"])
                    mbit[path, way].append(bits / 1e6)
                    cost[path, way].append((three.cpu_s() - before) / (bits * given.seconds / 8e9))
                    progress(f"{path}, {way}: {mbit[path, way][-1]:.0f} Mbit/s")
    rows = []
    for way in WAYS:
        friend, direct = mbit["friend", way], mbit["direct", way]
        rows.append(
            [f"{way}, Mbit/s", spread(direct, ".0f"), spread(friend, ".0f"), ratio(friend, direct), "0.4x"]
        )
    for way in WAYS:
        friend, direct = cost["friend", way], cost["direct", way]
        rows.append(
            [
                f"{way}, processor s/GB",
                spread(direct, ".2f"),
                spread(friend, ".2f"),
                ratio(friend, direct),
                "",
            ]
        )
    friend, direct = rtt_ms["friend"], rtt_ms["direct"]
    rows.append(["ping, ms", spread(direct, ".2f"), spread(friend, ".2f"), ratio(friend, direct), ""])
    table("the VPN by way of a friend", ["", *PATHS, "ratio", "goal"], rows)


if __name__ == "__main__":
    main()
