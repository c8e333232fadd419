"""Which programs vpn.py measures, and how its tables read."""

import re

import pytest

from bench.cost import Used
from bench.recorded import runs
from bench.traffic import Datagrams, Flow
from bench.vpn import ALL, named
from bench.vpn_report import FLOWS, Figures, report


def test_only_chooses_by_words() -> None:
    assert named("") == list(ALL)
    assert named("toxvpn,wireguard-go bare-link") == ["bare link", "wireguard-go", "toxvpn"]
    with pytest.raises(
        ValueError, match=re.escape("there is no wireguard_go; there are bare-link, openvpn,")
    ):
        named("toxvpn wireguard_go")


def figures(mbit: float, used: Used, kpps: float) -> Figures:
    found = Figures()
    for flow in FLOWS:
        found.add_flow(flow, Flow(mbit, 2.0), used)
    found.add_datagrams(Datagrams(kpps, 100.0, 0.05), used)
    for times in (found.idle_ms, found.awake_ms, found.loaded_ms):
        times += [0.25, 0.5]
    return found


def test_the_tables_are_of_both_ends_and_can_be_read_again(capsys: pytest.CaptureFixture[str]) -> None:
    report(
        {
            "bare link": figures(20000, Used(0, 0, 0.02, 1), 300),
            "wireguard-go": figures(3000, Used(6, 4, 0.4, 1), 25),
            "toxvpn": figures(4500, Used(3, 2, 0.2, 1), 200),
        },
        {False: [1000], True: [900]},
        "median of 1 run",
    )
    printed = "".join(f"    {line}\n" for line in capsys.readouterr().out.splitlines())
    [run] = runs(f"    vpn.py --runs 1\n    2026-11-26 07:00 UTC; 2 x one\n{printed}")
    rates, times, packets = run.tables
    assert rates.figure("toxvpn / wireguard-go", "IPv6 <-") == 1.5
    assert rates.figure("toxvpn / raw stock toxcore", "IPv4 <-") == 5
    # two flows each way, of 2 GB each: as much time at either end is spent on sending
    assert times.figure("wireguard-go", "sender") == 2.5
    assert times.figure("wireguard-go", "receiver") == 2.5
    assert times.figure("wireguard-go", "in all") == 5.2
    assert times.figure("toxvpn / wireguard-go", "in all") == 0.5
    assert times.figure("toxvpn", "Gbit/s per busy core") == 3.08
    assert times.figure("toxvpn", "iperf3's") == 0.5
    assert packets.figure("toxvpn", "kpps") == 200
    assert packets.figure("wireguard-go", "processor µs a packet") == 104
