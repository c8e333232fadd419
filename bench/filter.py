"""The VPN with a filter for each peer and without one, by turns: what its rules and flows cost.

First the compiled packet path by itself, in nanoseconds a packet; then one TCP flow each way between two
hosts, whose `allow` comes and goes by a reload.
"""

from contextlib import ExitStack

from lab import Lab, apps
from toxvpn._native.path.packets import FilterRule, Place
from toxvpn.testing.craft import TIMESTAMP, ip_header, offloaded, tcp_packet, udp_packet
from toxvpn.testing.memory_path import FRIENDS, OWN, MemoryPath
from toxvpn.testing.memory_tun import VnetHeader

from . import traffic
from .datapath import rate, receiver, sender
from .harness import OURS, arguments, median, progress, ratio, spread, table
from .vpn_pair import VpnPair

RULES = [FilterRule(Place.HERE, 6, 22, 22), FilterRule(Place.HERE, 1), FilterRule(Place.HERE)]
ALLOW = 'allow = ["localhost:22", "icmp", "localhost:*"]'
SEGMENT = 1290


def packets(version: int) -> dict[str, tuple[bytes, VnetHeader, int]]:
    header = ip_header(version, OWN[version // 6], FRIENDS[3][version // 6])
    whole = tcp_packet(header, bytes(SEGMENT * 40), options=TIMESTAMP)
    return {
        f"IPv{version} TCP, super-packets": (*offloaded(whole, SEGMENT), 40),
        f"IPv{version} TCP, single": (
            tcp_packet(header, bytes(SEGMENT), options=TIMESTAMP), VnetHeader(), 1,
        ),
        f"IPv{version} UDP of 200 bytes, single": (udp_packet(header, bytes(200)), VnetHeader(), 1),
    }  # fmt: skip


def path_alone(runs: int) -> None:
    rows = []
    with ExitStack() as stack:
        far = stack.enter_context(receiver())
        near = stack.enter_context(sender(far.carrier))
        for version in (4, 6):
            for name, (body, vnet, many) in packets(version).items():
                rates: dict[bool, list[float]] = {False: [], True: []}
                for _ in range(runs):
                    for limited in rates:
                        limit(near, far, version, limited=limited)
                        rates[limited].append(rate(near, body, vnet, many, far.carrier.flush_inbound))
                        far.tun.written()
                off, on = ([1e9 / each for each in rates[limited]] for limited in (False, True))
                rows.append([name, spread(off, ".0f"), spread(on, ".0f"), f"{median(on) - median(off):+.0f}"])
    table(f"Packet path alone, ns a packet, median of {runs}", ["", "no filter", "filter", "more"], rows)


def limit(near: MemoryPath, far: MemoryPath, version: int, *, limited: bool) -> None:
    """Puts the filter on or off, and begins the connection."""
    for path in (near, far):
        path.datapath.set_policy(3, RULES if limited else None)
    header = ip_header(version, OWN[version // 6], FRIENDS[3][version // 6])
    near.tun.inject(tcp_packet(header, b"", flags="S"))
    near.datapath.read_tun()
    far.carrier.flush_inbound()
    for path in (near, far):
        path.tun.written()


def over_tox(runs: int, seconds: int) -> None:
    with Lab() as lab:
        near, far = lab.host("near", internet=False), lab.host("far", internet=False)
        lab.link(near, far)
        apps.iperf3_server(far)
        pair = VpnPair(near, far, OURS)
        addresses = pair.start()
        mbit: dict[tuple[str, bool], list[float]] = {}
        cost: dict[tuple[str, bool], list[float]] = {}  # processor time for a megabit, in µs
        for run in range(runs):
            for limited in (False, True) if run % 2 else (True, False):
                pair.configure(ALLOW if limited else "")
                for name, address in (("IPv4", addresses.far_ipv4), ("IPv6", addresses.far_ipv6)):
                    for way, reverse in (("->", False), ("<-", True)):
                        before_s = pair.cpu_s()
                        found = traffic.tcp_mbit(near, address, seconds, reverse=reverse)
                        used_s = pair.cpu_s() - before_s
                        mbit.setdefault((f"{name} {way}", limited), []).append(found)
                        cost.setdefault((f"{name} {way}", limited), []).append(
                            used_s * 1e6 / (found * seconds)
                        )
            progress(f"run {run + 1}")
    flows = list(dict.fromkeys(flow for flow, _ in mbit))
    for what, values in (("Mbit/s", mbit), ("processor time of both sides, µs for a megabit", cost)):
        rows = [
            ["no filter", *(spread(values[flow, False], ".0f") for flow in flows)],
            ["filter", *(spread(values[flow, True], ".0f") for flow in flows)],
            ["filter / none", *(ratio(values[flow, True], values[flow, False]) for flow in flows)],
        ]
        table(f"One TCP flow, {what}, median of {runs} runs of {seconds} s", ["", *flows], rows)
        off, on = ([each for flow in flows for each in values[flow, limited]] for limited in (False, True))
        print(f"all flows, filter / none: {sum(on) / sum(off):.3f}")


def main() -> None:
    given = arguments(__doc__, runs=9, seconds=2)
    path_alone(given.runs * 10)
    over_tox(given.runs, given.seconds)


if __name__ == "__main__":
    main()
