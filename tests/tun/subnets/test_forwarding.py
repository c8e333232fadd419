"""Forwarding in a real kernel, in a namespace of the test's own; and the firewalls that would block it."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest
from scapy.layers.inet6 import ICMPv6ND_RA, IPv6
from scapy.layers.l2 import Ether
from scapy.sendrecv import sendp

from toxvpn.errors import ToxvpnError
from toxvpn.testing.netns import have_namespaces, in_new_netns
from toxvpn.tun.host import nftables
from toxvpn.tun.host.netconf import NetworkChanges
from toxvpn.tun.subnets import forwarding
from toxvpn.tun.subnets.forwarding import dropping_chains, forward, masquerade, masquerade_content

needs_root = pytest.mark.skipif(not have_namespaces(), reason="needs root and /dev/net/tun")
PREFIXES: list[IPv4Network | IPv6Network] = [
    IPv4Network("192.168.10.0/24"),
    IPv6Network("fd00:10::/64"),
    IPv4Network("10.9.0.0/16"),
]
KEYS = (
    "ipv4/ip_forward",
    "ipv4/conf/eth0/forwarding",
    "ipv6/conf/all/forwarding",
    *(f"ipv6/conf/{name}/accept_ra" for name in ("default", "eth0", "eth1", "tox0")),
)
LISTING = """\
table ip filter {
	chain INPUT {
		type filter hook input priority filter; policy drop;
	}
	chain FORWARD {
		type filter hook forward priority filter; policy drop;
	}
	chain DOCKER {
	}
}
table inet firewalld {
	chain filter_FORWARD {
		type filter hook forward priority filter + 10; policy accept;
	}
}
"""


def sysctls() -> dict[str, str]:
    return {key: Path("/proc/sys/net", key).read_text().strip() for key in KEYS}


def tables() -> str:
    return subprocess.run(["nft", "list", "ruleset"], capture_output=True, check=True, text=True).stdout


@contextmanager
def a_host() -> Iterator[None]:
    """A host that forwards nothing, and hears router advertisements on eth0; it must end as it began."""
    for key in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        Path("/proc/sys/net", key).write_text("0")  # a new namespace takes it over from the machine's
    for line in (
        "ip link add eth0 type veth peer name eth1",
        "ip tuntap add tox0 mode tun",
    ):
        subprocess.run(line.split(), check=True)
    for name, value in (("default", "1"), ("eth0", "1"), ("eth1", "0"), ("tox0", "1")):
        Path("/proc/sys/net/ipv6/conf", name, "accept_ra").write_text(value)
    before = sysctls(), tables()
    yield
    assert (sysctls(), tables()) == before


@pytest.mark.real
@needs_root
@pytest.mark.parametrize("versions", [{4}, {6}, {4, 6}])
def test_it_forwards_what_was_asked_for_and_still_hears_routers(versions: set[int]) -> None:
    def inside() -> dict[str, str]:
        with a_host(), NetworkChanges() as network:
            forward(network, versions)
            forward(network, versions)  # a second time changes nothing
            return sysctls()

    after = in_new_netns(inside)
    assert after["ipv4/ip_forward"] == after["ipv4/conf/eth0/forwarding"] == ("1" if 4 in versions else "0")
    assert after["ipv6/conf/all/forwarding"] == ("1" if 6 in versions else "0")
    hears = "2" if 6 in versions else "1"
    heard = {name: after[f"ipv6/conf/{name}/accept_ra"] for name in ("default", "eth0", "eth1")}
    assert heard == {"default": hears, "eth0": hears, "eth1": "0"}


@pytest.mark.real
@needs_root
def test_a_machine_that_forwards_already_is_left_as_it_is() -> None:
    def inside() -> tuple[dict[str, str], dict[str, str]]:
        with a_host():
            for key in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
                Path("/proc/sys/net", key).write_text("1")
            before = sysctls()
            with NetworkChanges() as network:
                forward(network, {4, 6})
                during = sysctls()
            assert sysctls() == before
            for key in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
                Path("/proc/sys/net", key).write_text("0")
            return before, during

    before, during = in_new_netns(inside)
    assert during == before


@pytest.mark.real
@needs_root
def test_masquerade_comes_and_goes_with_its_destinations() -> None:
    def inside() -> tuple[str, str, str, str]:
        with a_host(), NetworkChanges() as network:
            masquerade(network, "tox0", "subnets", PREFIXES)
            some = tables()
            masquerade(network, "tox0", "exit")
            both = tables()
            subprocess.run(["ip", "link", "set", "tox0", "name", "tun7"], check=True)
            renamed = tables()
            masquerade(network, "tox0", "subnets", [])
            left = tables()
            subprocess.run(["ip", "link", "set", "tun7", "name", "tox0"], check=True)
            return some, both, renamed, left

    some, both, renamed, left = in_new_netns(inside)
    from_peers = 'iif "tox0" oif != "tox0"'
    assert f"{from_peers} ip daddr {{ 10.9.0.0/16, 192.168.10.0/24 }} masquerade" in some
    assert f"{from_peers} ip6 daddr fd00:10::/64 masquerade" in some
    assert f"{from_peers} masquerade" in both
    assert 'iif "tun7"' in renamed
    assert "192.168.10.0" not in left
    assert "toxvpn_exit_tox0" in left


def test_only_the_families_that_are_asked_for_are_in_the_table() -> None:
    content = masquerade_content(7, [IPv6Network("fd00::/8")])
    assert "iif 7 oif != 7 ip6 daddr { fd00::/8 } masquerade" in content
    assert "ip daddr" not in content


def test_a_chain_that_drops_what_is_forwarded_is_found() -> None:
    assert dropping_chains(LISTING) == ["ip filter FORWARD"]
    assert dropping_chains("") == []


@pytest.mark.parametrize("listing", [LISTING, ""], ids=["docker", "nothing"])
def test_a_firewall_is_said_to_be_there(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, listing: str
) -> None:
    monkeypatch.setattr(nftables, "run", lambda script, what: listing)
    forwarding.warn_of_firewall("tox0")
    assert ("the policy of ip filter FORWARD is drop" in caplog.text) == bool(listing)


def test_a_firewall_that_cannot_be_read_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(script: str, what: str) -> str:
        raise ToxvpnError("no nftables here")

    monkeypatch.setattr(nftables, "run", refuse)
    forwarding.warn_of_firewall("tox0")


@pytest.mark.real
@needs_root
def test_a_default_route_of_a_router_advertisement_stays() -> None:
    """Without more, the kernel forgets it as soon as IPv6 is forwarded."""

    def inside() -> list[bool]:
        for key in ("ipv6/conf/all/forwarding", "ipv6/conf/default/accept_dad"):
            Path("/proc/sys/net", key).write_text("0")
        for line in (
            "ip link add eth0 type veth peer name eth1",
            "ip link set eth1 up",
            "ip link set eth0 up",
        ):
            subprocess.run(line.split(), check=True)
        Path("/proc/sys/net/ipv6/conf/eth0/accept_ra").write_text("1")
        wait_until(lambda: "fe80" in shown("addr", "dev", "eth0"), "link-local address")
        router = Ether(src="02:00:00:00:00:01", dst="33:33:00:00:00:01") / IPv6(src="fe80::1", dst="ff02::1")
        sendp(router / ICMPv6ND_RA(routerlifetime=600), iface="eth1", verbose=False)
        wait_until(lambda: "via fe80::1" in shown("route", "default"), "default route")
        with NetworkChanges() as network:
            forward(network, {6})
            during = shown("route", "default")
        return ["via fe80::1" in each for each in (during, shown("route", "default"))]

    assert in_new_netns(inside) == [True, True]


def shown(*words: str) -> str:
    return subprocess.run(["ip", "-6", *words[:1], "show", *words[1:]], capture_output=True, text=True).stdout


def wait_until(condition: Callable[[], bool], what: str) -> None:
    end_s = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end_s, f"no {what}"
        time.sleep(0.01)
