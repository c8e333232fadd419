"""A StatusSource whose states a test sets."""

from ipaddress import IPv4Address, IPv6Address

from ..control.status import ForwardState, PeerState, SelfState, ShieldState
from ..members.blocked import Blocked
from ..members.pending import PendingRequest

NOW = 1_800_000_000.0
ALICE, BOB, CAROL, DAVE, EVE = (bytes([number]) * 31 + b"\1" for number in (0xB0, 0xCA, 0x00, 0xD0, 0xEE))
TOX_ID = "A1" * 32 + "000000010001"


class FakeStatus:
    """Nobody is there until a test says so; `looked` counts how often somebody asked for the peers."""

    def __init__(self) -> None:
        self.own = SelfState(tox_id=TOX_ID, connection="udp", mode="up")
        self.peer_states: list[PeerState] = []
        self.forward_states: list[ForwardState] = []
        self.requests: list[PendingRequest] = []
        self.shut_out: list[Blocked] = []
        self.looked = 0

    def self_state(self) -> SelfState:
        return self.own

    def peers(self) -> list[PeerState]:
        self.looked += 1
        return self.peer_states

    def forwards(self) -> list[ForwardState]:
        return self.forward_states

    def pending(self) -> list[PendingRequest]:
        return self.requests

    def blocked(self) -> list[Blocked]:
        return self.shut_out


def busy() -> FakeStatus:
    """One of everything, in no order."""
    source = FakeStatus()
    source.own = SelfState(
        tox_id=TOX_ID,
        connection="udp",
        mode="up",
        ipv4=IPv4Address("100.64.7.1"),
        ipv6=IPv6Address("fd74:6f78::1"),
        interface="toxvpn0",
        interface_up=False,
        refused_offload=("TCP",),
        drops={"not IP": 1, "no route": 2},
        shield=ShieldState(flaw="GHSA-42vg-9mg3-399f", in_force=True, dropped=5),
    )
    source.peer_states = [
        PeerState(public_key=CAROL, asked=True),
        PeerState(
            public_key=BOB,
            name="bob",
            path="tcp-relay",
            ipv6=IPv6Address("fd74:6f78::3"),
            since=NOW + 1.5,
            configured=True,
            grant="invite",
            address_problem="the IPv4 address it states, 10.1.2.3, is not used: it is another peer's",
        ),
        PeerState(
            public_key=ALICE,
            name="alice",
            path="udp",
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
        ),
    ]
    source.forward_states = [
        ForwardState(
            listen="127.0.0.1:8080", target="localhost:80", road="fast", why="both sides have it", streams=2
        ),
        ForwardState(listen="127.0.0.1:1080", target="socks5", road="tuntox", why="--road tuntox", streams=0),
    ]
    source.shut_out = [Blocked(EVE, NOW, "eve")]
    source.requests = [PendingRequest(DAVE, NOW, NOW + 60, 2, "unknown key")]
    return source
