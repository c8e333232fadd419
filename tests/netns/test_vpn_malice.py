"""A peer without manners: nothing that it sends or states harms the machine it is a peer of, or others.

Alice runs `toxvpn up` with two peers that are puppets (raw_peer.py): Mallory, who sends what scapy can
craft, and Bob, who behaves.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_network
from typing import Any

import pytest
from puppets import Puppet, framed
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from vpns import CONNECTING_S, INTERFACE, Machine

from lab import Lab, LabError, wait_until
from toxvpn.wire.addressing import ipv4_candidates, overlay_ipv6
from toxvpn.wire.statusmessage import Status, ToxvpnStatus, encode

CHOSEN = "10.203.0.9"
CPP = json.dumps({"mode": "tun", "ownip": CHOSEN}).encode()


@dataclass(frozen=True)
class Scene:
    alice: Machine
    mallory: Puppet
    bob: Puppet

    @property
    def puppets(self) -> tuple[Puppet, Puppet]:
        return self.mallory, self.bob

    def ipv4_of(self, puppet: Puppet) -> str | None:
        ipv4: str | None = self.alice.sees(puppet.public_key)["ipv4"]
        return ipv4

    def drops(self, puppet: Puppet, reason: str) -> int:
        return int(self.alice.sees(puppet.public_key)["drops"].get(reason, 0))

    def written(self) -> int:
        """Packets that the kernel got through the device."""
        return self.alice.host.namespace.counters(INTERFACE).rx_packets

    def settle(self, puppet: Puppet, stated: bytes, ipv4: str | None) -> None:
        """The puppet states something; returns when Alice has made of it what she should."""
        puppet.set_status(stated)
        self.alice.until(lambda: self.ipv4_of(puppet) == ipv4, f"{ipv4} as the address of the puppet")

    def until_reached(self, puppet: Puppet) -> None:
        """For a moment after a change of path, packets may get lost."""

        def once() -> bool:
            with suppress(LabError):
                return self.echoes(puppet, family=1, timeout_s=1)
            return False

        wait_until(once, "path that packets get through", CONNECTING_S)

    def echoes(self, puppet: Puppet, family: int = 0, timeout_s: float = 10) -> bool:
        """Whether a correct ping is answered; by then everything sent before it has been judged."""
        number = next(NUMBERS)
        source, destination = (
            (derived(puppet), self.alice.ipv4)
            if family == 0
            else (str(overlay_ipv6(puppet.public_key)), self.alice.ipv6)
        )
        puppet.send_ip(ping(source, destination, number))
        return bool(wait_until(lambda: number in answers(puppet), "answer to a ping", timeout_s))


NUMBERS = iter(range(1, 1 << 16))


def ping(source: str, destination: str, number: int = 0) -> bytes:
    if ":" in destination:
        return bytes(IPv6(src=source, dst=destination) / ICMPv6EchoRequest(seq=number))
    return bytes(IP(src=source, dst=destination) / ICMP(seq=number))


def answers(puppet: Puppet) -> list[int]:
    """The numbers of the echo replies it has got."""
    found = []
    for packet in puppet.packets:
        if packet[0] >> 4 == 4 and packet[9] == 1 and packet[20] == 0:
            found.append(int.from_bytes(packet[26:28], "big"))
        elif packet[0] >> 4 == 6 and packet[6] == 58 and packet[40] == 129:
            found.append(int.from_bytes(packet[46:48], "big"))
    return found


def derived(puppet: Puppet) -> str:
    return str(next(ipv4_candidates(puppet.public_key)))


def ours(ip4: str | None, **fields: Any) -> bytes:
    return encode(Status(IPv4Address(ip4) if ip4 else None, ToxvpnStatus(**fields)))


@pytest.fixture(scope="module")
def _scene(_shared_network: Lab) -> Iterator[Scene]:
    lab = _shared_network
    hosts = [lab.host(name, ipv6=False) for name in ("alice", "mallory", "bob")]
    alice = Machine(lab, hosts[0])
    mallory, bob = (Puppet(lab, host) for host in hosts[1:])
    allowed = f'id = "{mallory.tox_id[:64]}"\naddress = "{CHOSEN}"\nroutes = "all"\n'
    (alice.directory / "config.toml").write_text(f"[peers.mallory]\n{allowed}")
    alice.start("--peer", mallory.tox_id, "--peer", bob.tox_id)
    for puppet in (mallory, bob):
        puppet.befriend(alice.tox_id)
    for puppet in (mallory, bob):
        puppet.wait_online()
    alice.wait("--direct")
    scene = Scene(alice, mallory, bob)
    for puppet in scene.puppets:
        scene.until_reached(puppet)
    yield scene
    for host in hosts:
        lab.remove(host)


@pytest.fixture
def scene(_scene: Scene) -> Iterator[Scene]:
    """Both puppets with the addresses that follow from their keys; Alice lives and is well afterwards."""
    for puppet in _scene.puppets:
        _scene.settle(puppet, ours(derived(puppet), mtu=1368), derived(puppet))
    yield _scene
    assert _scene.alice.up.process.poll() is None
    assert "Traceback" not in _scene.alice.log


@pytest.mark.parametrize("family", [0, 1], ids=["IPv4", "IPv6"])
def test_what_is_as_it_should_be_is_let_through(scene: Scene, family: int) -> None:
    """So that the others can fail."""
    before = scene.written()
    assert scene.echoes(scene.mallory, family)
    assert scene.written() == before + 1


def hostile(scene: Scene, reason: str) -> list[bytes]:
    """Packets, framed, that are to be dropped for that reason."""
    mine, mine6 = derived(scene.mallory), str(overlay_ipv6(scene.mallory.public_key))
    bobs, bobs6 = derived(scene.bob), str(overlay_ipv6(scene.bob.public_key))
    alices, alices6 = scene.alice.addresses
    good, good6 = ping(mine, alices), ping(mine6, alices6)
    if reason == "source_not_allowed":
        sources = [bobs, alices, "127.0.0.1", "224.0.0.1", "255.255.255.255", "0.0.0.0", "192.168.1.1"]
        sources6 = [bobs6, alices6, "::1", "::", "fe80::1", "ff02::1", "fd74:6f78::1", f"::ffff:{mine}"]
        return [framed(ping(source, alices)) for source in sources] + [
            framed(ping(source, alices6)) for source in sources6
        ]
    if reason == "destination_not_allowed":
        others = [bobs, mine, "127.0.0.1", "224.0.0.1", "239.1.2.3", "255.255.255.255", "203.0.113.254"]
        others6 = [bobs6, mine6, "::1", "ff02::1", "ff05::2", "fe80::1", "2001:db8::1"]
        return [framed(ping(mine, other)) for other in others] + [
            framed(ping(mine6, other)) for other in others6
        ]
    assert reason == "malformed"
    return [
        *(framed(good)[:length] for length in range(1, 5 + len(good))),
        *(framed(good6)[:length] for length in range(1, 5 + len(good6))),
        framed(good + b"\0"),
        framed(good6 + b"\0"),
        framed(bytes(IP(src=mine, dst=alices, ihl=15) / ICMP())),
        framed(bytes(IP(src=mine, dst=alices, ihl=4) / ICMP())),
        framed(bytes(IP(src=mine, dst=alices, len=20) / ICMP())),
        framed(bytes(IP(src=mine, dst=alices, len=65535) / ICMP())),
        framed(bytes(IPv6(src=mine6, dst=alices6, plen=65535) / UDP())),
        framed(bytes(IPv6(src=mine6, dst=alices6, plen=0) / UDP())),
        framed(bytes(IPv6(src=mine6, dst=alices6, nh=0) / b"\x00\xff")),
        framed(bytes([0x50]) + good[1:]),
        framed(good)[:3] + b"\x86\xdd" + good,
        framed(good6)[:3] + b"\x08\x00" + good6,
        framed(good)[:3] + b"\x08\x06" + good,
        framed(good)[:1] + b"\x00\x01\x08\x00" + good,
    ]


@pytest.mark.parametrize("reason", ["source_not_allowed", "destination_not_allowed", "malformed"])
def test_hostile_packets_are_counted_and_the_kernel_sees_none(scene: Scene, reason: str) -> None:
    packets = hostile(scene, reason)
    written, counted, bobs = scene.written(), scene.drops(scene.mallory, reason), scene.bob.packets
    scene.mallory.send(*packets)
    assert scene.echoes(scene.mallory)
    assert scene.drops(scene.mallory, reason) == counted + len(packets)
    assert scene.written() == written + 1, "the ping alone"
    assert scene.bob.packets == bobs
    assert scene.drops(scene.bob, reason) == 0


def test_packets_of_other_kinds_mean_nothing(scene: Scene) -> None:
    """Those of the private stacks, where there is none, and all that nobody has defined."""
    good = ping(derived(scene.mallory), scene.alice.ipv4)
    written = scene.written()
    scene.mallory.send(*(bytes([kind]) + framed(good)[1:] for kind in (192, 199, 201, 202, 254, 160, 191)))
    assert scene.echoes(scene.mallory)
    assert scene.written() == written + 1


# -- what it states ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claim", "reason"),
    [
        ("alice", "it is this machine's own"),
        ("bob", "it is another peer's"),
        ("uplink", "this machine uses it for something else: a local network"),
        ("8.8.8.8", "it is a public address"),
        ("192.168.77.1", "it is not derived from the peer's key; to allow it: address = "),
    ],
)
def test_an_address_that_is_not_its_to_claim_is_refused(scene: Scene, claim: str, reason: str) -> None:
    named = {"alice": scene.alice.ipv4, "bob": derived(scene.bob), "uplink": scene.alice.host.ipv4}
    claimed = named.get(claim) or claim
    routes = scene.alice.host.run(["ip", "route"]).stdout
    scene.settle(scene.mallory, ours(claimed), None)
    problem = f"the IPv4 address it states, {claimed}, is not used: {reason}"
    assert problem in scene.alice.sees(scene.mallory.public_key)["address_problem"]
    after = scene.alice.host.run(["ip", "route"]).stdout.splitlines()
    assert after == [line for line in routes.splitlines() if derived(scene.mallory) not in line]
    counted = scene.drops(scene.mallory, "source_not_allowed")
    scene.mallory.send_ip(ping(claimed, scene.alice.ipv4))
    assert scene.echoes(scene.mallory, 1)
    assert scene.drops(scene.mallory, "source_not_allowed") == counted + 1
    assert scene.echoes(scene.bob)


@pytest.mark.parametrize("first", ["mallory", "bob"])
def test_what_is_for_one_peer_never_goes_to_another_that_claims_its_address(scene: Scene, first: str) -> None:
    """Bob's address follows from his key, so it is his, whoever comes first."""
    bobs = derived(scene.bob)
    if first == "mallory":
        scene.settle(scene.bob, ours(None), None)
        scene.settle(scene.mallory, ours(bobs), None)
        scene.settle(scene.bob, ours(bobs), bobs)
    scene.settle(scene.mallory, ours(bobs), None)
    mallorys, received = scene.mallory.packets, len(scene.bob.packets)
    scene.alice.host.ping(bobs, count=3, timeout_s=0.2)  # a puppet hears, and does not answer
    wait_until(lambda: len(scene.bob.packets) == received + 3, "three pings at Bob's")
    assert scene.mallory.packets == mallorys


NETWORK, NETWORK6 = "10.66.0.0/16", "fd00:66::/48"


def test_of_the_networks_it_offers_those_are_used_that_are_in_nobodys_way(scene: Scene) -> None:
    """Alice uses all that Mallory offers, and means networks that nobody else has."""
    alice, own4 = scene.alice, f"{scene.alice.ipv4}/32"
    alice.host.run(["ip", "address", "add", "10.77.0.1/24", "dev", "lo"])
    wanted = {
        NETWORK: "",
        NETWORK6: "",
        "0.0.0.0/0": "it is a default route",
        "::/0": "it is a default route",
        "128.0.0.0/1": "it is a default route",
        "8.8.8.0/24": "it is a public network",
        "127.0.0.0/8": "no machine can lead to such addresses",
        "fd74:6f78::/32": "it overlaps fd74:6f78::/32, where the addresses of the VPN are",
        own4: "it overlaps 100.64.0.0/10, where the addresses of the VPN are",
        f"{derived(scene.bob)}/32": "it overlaps 100.64.0.0/10, where the addresses of the VPN are",
        "10.77.0.0/16": "it overlaps 10.77.0.0/24, a route through lo",
        "10.77.0.1/32": "it overlaps 10.77.0.0/24, a route through lo",
    }
    before = alice.host.run(["ip", "route"]).stdout.splitlines()
    scene.mallory.set_status(ours(derived(scene.mallory), routes=tuple(map(ip_network, wanted))))

    def routes() -> dict[str, dict[str, Any]]:
        return {each["network"]: each for each in alice.sees(scene.mallory.public_key)["routes"]}

    def used() -> dict[str, bool]:
        return {name: each["used"] for name, each in routes().items()}

    expected = {name: reason == "" for name, reason in wanted.items()}
    alice.until(lambda: used() == expected, "use of what is harmless alone")
    for name, reason in wanted.items():
        assert (routes()[name]["problem"] or "").startswith(reason), routes()[name]
    after = alice.host.run(["ip", "route"]).stdout.splitlines()
    assert [line.split()[0] for line in after if line not in before] == [NETWORK]
    counted = scene.drops(scene.mallory, "source_not_allowed")
    scene.mallory.send_ip(
        ping("10.66.1.2", alice.ipv4), ping("10.67.1.2", alice.ipv4), ping("8.8.8.8", alice.ipv4)
    )
    assert scene.echoes(scene.mallory)
    assert scene.drops(scene.mallory, "source_not_allowed") == counted + 2
    assert scene.echoes(scene.bob)
    alice.host.run(["ip", "address", "del", "10.77.0.1/24", "dev", "lo"])
    scene.mallory.set_status(ours(derived(scene.mallory)))
    alice.until(lambda: routes() == {}, "end of the networks")
    assert alice.host.run(["ip", "route"]).stdout.splitlines() == before


def test_a_flood_of_offers_costs_a_few_rounds_a_second(scene: Scene) -> None:
    for number in range(200):
        scene.mallory.set_status(ours(derived(scene.mallory), routes=(ip_network(f"10.66.{number}.0/24"),)))

    def used() -> list[str]:
        lines = scene.alice.host.run(["ip", "route"]).stdout.splitlines()
        return [line.split()[0] for line in lines if line.startswith("10.66.")]

    scene.alice.until(lambda: used() == ["10.66.199.0/24"], "use of the last offer alone")
    said = [line for line in scene.alice.log.splitlines() if "is reached through it" in line]
    assert len(said) < 30


SHAPES: list[tuple[bytes, str | None]] = [
    (b"{", "not valid JSON"),
    (b'{"mode":"tun","ownip":"10.203.0.9"', "not valid JSON"),
    (b'{"mode":"tun","ownip":"\xff"}', "not valid JSON"),
    (b'{"a":NaN}', "NaN is not JSON"),
    (b'{"mode":"tun","mode":"tun"}', "a key occurs twice"),
    (b'{"a":' + b"[" * 1001, "status message disregarded"),  # the reason depends on the interpreter
    (b'{"mode":"tun","ownip":1}', "its ownip is not text"),
    (b'{"mode":"tun","ownip":"10.203.0.9/24"}', "its ownip"),
    (b'{"mode":"tun","ownip":"fd74:6f78::1"}', "its ownip"),
    (b'{"mode":"tun","ownip":"224.0.0.1"}', "no host's address"),
    (b'{"mode":"tun","ownip":"127.0.0.1"}', "no host's address"),
    (b'{"mode":"tun","ownip":"0.0.0.0"}', "no host's address"),
    (b'{"mode":"tun","ownip":"255.255.255.255"}', "no host's address"),
    (b'{"mode":"tun","ownip":null}', None),
    (b"[1,2,3]", None),
    (b"null", None),
    (b"\0\xff\xfe", None),
    (b"At the beach until Monday", None),
    (b'{"mode":"tap","ownip":"10.203.0.9"}', None),
    (b"{}", None),
    (b"", None),
]


@pytest.mark.parametrize(("stated", "complaint"), SHAPES, ids=[str(shape[:24]) for shape, _ in SHAPES])
def test_a_status_of_any_shape_is_no_more_than_words(
    scene: Scene, stated: bytes, complaint: str | None
) -> None:
    said = len(scene.alice.log)
    scene.settle(scene.mallory, stated, None)
    [*lines] = [line for line in scene.alice.log[said:].splitlines() if scene.mallory.tox_id[:8] in line]
    assert len(lines) <= (0 if complaint is None else 1), lines  # none once there were many
    assert all(complaint in line for line in lines if complaint)
    assert scene.echoes(scene.bob)


@pytest.mark.parametrize(
    "value",
    ["null", "1", "[]", "{}", '{"v":"1"}', '{"v":1,"mtu":-1}', '{"v":1,"ip6":7}', '{"v":1,"routes":1}'],
)
def test_of_a_status_that_is_half_ours_only_the_plain_half_counts(scene: Scene, value: str) -> None:
    scene.settle(scene.mallory, CPP[:-1] + b',"toxvpn":' + value.encode() + b"}", CHOSEN)
    assert scene.alice.host.ping(scene.alice.ipv4)


def test_a_huge_mtu_is_brought_within_what_is_possible(scene: Scene) -> None:
    scene.settle(scene.mallory, ours(CHOSEN, mtu=65535), CHOSEN)
    received = len(scene.mallory.packets)
    scene.alice.host.run(["ping", "-c1", "-W0.2", "-s", "1340", CHOSEN], check=False)
    wait_until(lambda: len(scene.mallory.packets) == received + 1, "a packet of 1368 bytes")
    assert len(scene.mallory.packets[-1]) == 1368
