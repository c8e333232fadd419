"""Networks in which libtoxcore alone finds no path, or none that is direct; bench/networks.py has more."""

import json

from vpns import Machine, connected

from lab import Host, Lab


class Choosy(Machine):
    """Knows all nodes, and takes only some of them for relays by itself."""

    def __init__(self, lab: Lab, host: Host, relays: slice) -> None:
        document = json.loads(lab.nodes_json.read_text())
        for node in set(range(len(document["nodes"]))) - set(range(len(document["nodes"]))[relays]):
            document["nodes"][node]["tcp_ports"] = []
        self._nodes = host.directory / "nodes.json"
        self._nodes.write_text(json.dumps(document))
        super().__init__(lab, host)

    def argv(self, *arguments: str) -> list[str]:
        return [*super().argv(), "-b", str(self._nodes), *arguments]


def test_three_in_one_lan_meet_without_the_internet(tox_network: Lab) -> None:
    home = tox_network.nat("home", "closed")
    box, laptop, late = (Machine(tox_network, home.host(name)) for name in ("box", "laptop", "late"))
    box.start("--peer", laptop.tox_id, "--peer", late.tox_id)
    laptop.start("--peer", box.tox_id)
    laptop.wait("--direct")
    late.start("--peer", box.tox_id)
    late.wait("--direct")


def test_who_is_beside_another_where_udp_is_blocked_finds_a_peer_elsewhere(tox_network: Lab) -> None:
    hotel = tox_network.nat("hotel", "udp-blocked")
    box, *guests = (
        Machine(tox_network, host)
        for host in (tox_network.nat("home").host("box"), hotel.host("laptop"), hotel.host("other"))
    )
    box.start(*(word for guest in guests for word in ("--peer", guest.tox_id)))
    for guest in guests:
        guest.start("--peer", box.tox_id)
    for guest in guests:
        guest.wait()


def test_two_in_one_lan_meet_directly_where_the_router_turns_nothing_back(tox_network: Lab) -> None:
    home = tox_network.nat("home")
    machines = [Machine(tox_network, home.host(name)) for name in ("box", "laptop")]
    connected(*machines)
    machines[0].wait("--direct")


def test_ipv6_alone_and_ipv4_alone_meet_without_a_relay_in_common(tox_network: Lab) -> None:
    laptop = tox_network.host("laptop")
    laptop.run(["ip", "-4", "address", "flush", "dev", laptop.interface])
    box = tox_network.host("box", ipv6=False)
    connected(Choosy(tox_network, laptop, slice(0, 4)), Choosy(tox_network, box, slice(4, 8)))
