from ipaddress import IPv4Address, IPv4Network

from toxvpn.tun.neighbours.local_networks import LocalNetwork
from toxvpn.tun.neighbours.moved import own_moved, peer_moved

TAILSCALE = LocalNetwork(IPv4Network("100.101.102.103/32"), "of the interface tailscale0")
OTHER_TOXVPN = LocalNetwork(IPv4Network("100.64.7.7/32"), "of the interface tox1", isolated=True)
USUAL, SECOND = IPv4Address("100.64.3.2"), IPv4Address("10.91.90.133")
REQUESTED = IPv4Address("10.203.0.2")
THIS_USES = "this machine uses 100.101.102.103/32 of the interface tailscale0"


def test_what_is_as_usual_is_no_news() -> None:
    assert own_moved([USUAL], [OTHER_TOXVPN], None) == ""
    assert own_moved([REQUESTED], [TAILSCALE], REQUESTED) == ""
    assert peer_moved(USUAL, USUAL, [OTHER_TOXVPN]) is None
    assert peer_moved(None, None, []) is peer_moved(USUAL, None, []) is None
    assert peer_moved(IPv4Address("192.168.7.2"), IPv4Address("192.168.7.2"), [TAILSCALE]) is None, "chosen"


def test_our_own_that_moved() -> None:
    moved = "10.91.90.133 instead of an address in 100.64.0.0/10"
    assert own_moved([SECOND, USUAL], [TAILSCALE], None) == f"{moved}: {THIS_USES}"
    assert own_moved([], [TAILSCALE], None).startswith("no IPv4 address instead of")


def test_a_requested_one_that_is_somebody_elses_now_or_stays_beside_another_program() -> None:
    lan = LocalNetwork(IPv4Network("10.203.0.0/24"), "of the interface wlan0")
    because = "this machine uses 10.203.0.0/24 of the interface wlan0"
    assert own_moved([USUAL], [lan], REQUESTED) == f"100.64.3.2 instead of 10.203.0.2: {because}"
    dropped = "and its firewall may drop packets of the VPN"
    assert (
        own_moved([USUAL], [TAILSCALE], USUAL) == f"100.64.3.2 lies in 100.64.0.0/10: {THIS_USES}, {dropped}"
    )


def test_a_peer_that_is_met_elsewhere() -> None:
    assert peer_moved(USUAL, SECOND, [TAILSCALE]) == f"10.91.90.133 instead of 100.64.3.2: {THIS_USES}"
    there = "its machine uses that range for something else"
    assert peer_moved(SECOND, SECOND, []) == f"10.91.90.133 instead of an address in 100.64.0.0/10: {there}"
    chosen = IPv4Address("192.168.7.2")
    assert peer_moved(chosen, USUAL, [TAILSCALE]) == "100.64.3.2 instead of 192.168.7.2"
