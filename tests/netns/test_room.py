"""A machine whose own uplink is the bottleneck: nobody's packets wait until another's transfer is over."""

import re
import statistics
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from forwards import SECRET, WITH_SECRET, Client
from vpns import STARTING_S, TOXVPN, Machine

from lab import Host, Lab, apps
from lab.bottleneck import fifo, loss_based
from lab.require import require

UPLINK_MBIT = 20
CONFIGURATION = """
[server]
secret_file = "secret"
[vpn]
[peers.away]
id = "{tox_id}"
"""
PINGS = 30
SLOW_MS = 300
"""0.6 s and more were usual beside one CUBIC flow, and 15 s beside another datapath's; 0.02 s is now."""


@dataclass
class Site:
    host: Host  # with one toxvpn for the VPN and for forwards, and the slow uplink
    caller: Host
    away: Machine

    def pings(self) -> list[float]:
        """Over the VPN, with both directions' path."""
        return self.host.ping(self.away.ipv4, count=PINGS, timeout_s=5)


@pytest.fixture
def site(tox_network: Lab) -> Iterator[Site]:
    require("tc", "iperf3", "nsenter")
    host, caller, third = (tox_network.host(name, ipv6=False) for name in ("host", "caller", "third"))
    here, away = Machine(tox_network, host), Machine(tox_network, third)
    for name, text in {"secret": SECRET, "config.toml": CONFIGURATION.format(tox_id=away.tox_id)}.items():
        (here.directory / name).write_text(text)
        (here.directory / name).chmod(0o600)
    apps.iperf3_server(host)
    apps.iperf3_server(away.host)
    with (host.directory / "log").open("wb") as log:
        process = host.popen([*TOXVPN, "-b", str(tox_network.nodes_json), "-C", str(here.directory), "run"],
                             stdout=subprocess.DEVNULL, stderr=log)  # fmt: skip
    away.start("--peer", here.tox_id)
    arguments = ("-L", f"7000:127.0.0.1:{apps.IPERF3_PORT}")
    client = Client(tox_network, caller, "client", here.tox_id, *arguments, road="fast", env=WITH_SECRET)
    client.wait_for(r"peer [0-9A-F]{8}: udp")
    away.wait("--direct")
    away.reaches(here.ipv4)
    loss_based(process)
    fifo(host, UPLINK_MBIT)
    yield Site(host, caller, away)
    host.stop(process, grace_s=STARTING_S)


def begun(host: Host, *arguments: str) -> "subprocess.Popen[bytes]":
    """An iperf3 of 8 s, of which 3 s have passed."""
    transfer = host.popen(["iperf3", "--forceflush", "-t", "8", *arguments], stdout=subprocess.PIPE)
    assert transfer.stdout is not None
    for line in transfer.stdout:
        if re.search(rb" 2\.00-3\.00 ", line):
            return transfer
    raise AssertionError("iperf3 has ended")


def test_pings_beside_transfers_on_either_road(site: Site) -> None:
    download = begun(site.caller, "-c", "127.0.0.1", "-p", "7000", "-R")
    beside_a_forward = site.pings()
    assert download.poll() is None, "the transfer was over before the pings"
    download.communicate(timeout=60)
    upload = begun(site.host, "-c", site.away.ipv4, "-C", "cubic")
    beside_the_vpn = site.pings()
    assert upload.poll() is None
    for answers in (beside_a_forward, beside_the_vpn):
        assert len(answers) > 0.8 * PINGS
        assert statistics.median(answers) < SLOW_MS
