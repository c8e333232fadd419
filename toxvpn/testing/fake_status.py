"""The status of two runs, for tests: one with nothing in it, and one with something of everything."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from ..control.status import ExitState, PeerState, RouteState, RunStatus, SelfState, ShieldState
from ..members.blocked import Blocked
from ..members.pending import PendingRequest
from ..portmap.keeper import MappingState
from ..tcpforward.forwards import ForwardState

NOW = 1_800_000_000.0
ALICE, BOB, CAROL, DAVE, EVE = (bytes([number]) * 31 + b"\1" for number in (0xB0, 0xCA, 0x00, 0xD0, 0xEE))
TOX_ID = "A1" * 32 + "000000010001"


def idle() -> RunStatus:
    """Nobody is there."""
    return RunStatus(own=SelfState(tox_id=TOX_ID, connection="udp", mode="up"))


def busy() -> RunStatus:
    """One of everything, in no order."""
    own = SelfState(
        tox_id=TOX_ID,
        connection="udp",
        mode="up",
        ipv4=IPv4Address("100.64.7.1"),
        ipv6=IPv6Address("fd74:6f78::1"),
        dns_name="office.tox.internal",
        interface="toxvpn0",
        interface_up=False,
        refused_offload=("TCP",),
        drops={"not IP": 1, "no route": 2},
        shield=ShieldState(flaw="GHSA-42vg-9mg3-399f", in_force=True, dropped=5),
        version="1.2.3",
        routes=(IPv4Network("192.168.10.0/24"), IPv6Network("fd00:10::/64")),
        exit=ExitState(peer=BOB, blocked=False),
        moved=("100.64.7.1 is 10.64.7.1 for bob, for that uses 100.64.0.0/10",),
        multicast=("mdns", "239.1.2.3"),
        port_mapping=MappingState("192.168.1.1", "PCP", ("203.0.113.5", 40000), drops={"elsewhere": 6}),
    )
    peers = [
        PeerState(public_key=CAROL, asked=True),
        PeerState(
            public_key=BOB,
            name="bob",
            path="tcp-relay",
            dns_name="bob-2.tox.internal",
            name_problem="it is bob-2.tox.internal, for 'bob' is another machine's",
            ipv6=IPv6Address("fd74:6f78::3"),
            since=NOW + 1.5,
            configured=True,
            grant="invite",
            address_problem="the IPv4 address it states, 10.1.2.3, is not used: it is another peer's",
            loss=0.125,
            version="1.3.0",
            routes=(
                RouteState(network=IPv4Network("10.0.0.0/24"), used=True),
                RouteState(network=IPv4Network("10.1.0.0/24"), used=False),
                RouteState(network=IPv6Network("fd00:1::/64"), used=False, problem="eth0 has that network"),
            ),
            exit="used",
            address_moved="at 10.64.7.3, for this machine uses 100.64.0.0/10 (tailscale0)",
        ),
        PeerState(
            public_key=ALICE,
            name="alice",
            path="udp",
            dns_name="alice.tox.internal",
            ipv4=IPv4Address("100.64.7.2"),
            ipv6=IPv6Address("fd74:6f78::2"),
            rx_bytes=1_234_567,
            tx_bytes=89,
            drops={"wrong source": 40, "queue full": 3},
            since=NOW,
            rtt_s=0.00042,
            configured=True,
            mtu=1216,
            grant="peer",
            loss=0.0,
            version="1.2.3",
            may_exit=True,
            allow=("tcp/localhost:22", "icmp"),
            multicast=("mdns",),
        ),
    ]
    forwards = [
        ForwardState(
            listen="127.0.0.1:8080", target="localhost:80", road="fast", why="both sides have it", streams=2
        ),
        ForwardState(
            listen="udp/127.0.0.1:5353",
            target="localhost:53",
            road="fast",
            why="both sides have it",
            streams=1,
            drops={"no_room": 7, "network_full": 0},
        ),
        ForwardState(listen="127.0.0.1:1080", target="socks5", road="tuntox", why="--road tuntox", streams=0),
    ]
    return RunStatus(
        own=own,
        peers=peers,
        forwards=forwards,
        pending=[PendingRequest(DAVE, NOW, NOW + 60, 2, "unknown key")],
        blocked=[Blocked(EVE, NOW, "eve")],
    )
