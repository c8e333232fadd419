"""Two peers behind routers that no punching gets through, of which one maps a port: the path gets direct."""

from collections.abc import Callable

import pytest
from forwards import DIRECT, WITH_SECRET, Client, Server, private_directory

from lab import Host, Lab
from lab.mapping import MappingProtocol, mapped_ports
from lab.nat import Nat
from lab.require import require

ASKING = {**WITH_SECRET, "TOXVPN_PORT_MAPPING": "on"}
MAPPED = r"the router passes on UDP from ([\d.]+):(\d+) \((\S+)\)"
DIRECT_S = 20.0


@pytest.fixture(scope="module", autouse=True)
def _miniupnpd() -> None:
    require("miniupnpd")


def serve(lab: Lab, host: Host) -> Server:
    return Server(lab, host, private_directory(host, "toxvpn"), env=ASKING)


def random_ports(lab: Lab) -> Nat:
    """A router with random ports, as in companies."""
    return lab.nat("office", "symmetric")


def carrier(lab: Lab) -> Nat:
    """A home behind its carrier's NAT, which takes random ports too."""
    return lab.carrier("carrier", "symmetric").nat("flat")


@pytest.mark.parametrize(
    ("maps", "name", "far"), [("pcp", "PCP", random_ports), ("upnp", "UPnP", carrier)], ids=["pcp", "upnp"]
)
def test_one_mapping_is_enough_for_two(
    tox_network: Lab, maps: MappingProtocol, name: str, far: Callable[[Lab], Nat]
) -> None:
    lab = tox_network
    home = lab.nat("home", "symmetric", maps=[maps])
    server = serve(lab, home.host("server"))
    mapped = server.wait_for(MAPPED)
    assert mapped[1] == home.ipv4 and mapped[3] == name
    assert mapped_ports(home) == [int(mapped[2])]
    client = Client(lab, far(lab).host("client"), "client", server.tox_id, "-D", "1080", env=ASKING)
    client.wait_for(DIRECT, DIRECT_S)
    server.stop()
    assert mapped_ports(home) == [], "taken back"
