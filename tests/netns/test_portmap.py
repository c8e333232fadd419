"""Two peers behind routers that no punching gets through, of which one maps a port: the path gets direct."""

import pytest
from forwards import DIRECT, WITH_SECRET, Client, Server, private_directory

from lab import Host, Lab
from lab.mapping import MappingProtocol, mapped_ports
from lab.require import require

ASKING = {**WITH_SECRET, "TOXVPN_PORT_MAPPING": "on"}
MAPPED = r"the router passes on UDP from ([\d.]+):(\d+) \((\S+)\)"
DIRECT_S = 20.0


@pytest.fixture(scope="module", autouse=True)
def _miniupnpd() -> None:
    require("miniupnpd")


def serve(lab: Lab, host: Host) -> Server:
    return Server(lab, host, private_directory(host, "toxvpn"), env=ASKING)


@pytest.mark.parametrize(("maps", "name"), [("pcp", "PCP"), ("upnp", "UPnP")])
def test_two_random_port_nats(tox_network: Lab, maps: MappingProtocol, name: str) -> None:
    lab = tox_network
    home = lab.nat(f"home{maps}", "symmetric", maps=[maps])
    office = lab.nat(f"office{maps}", "symmetric")
    server = serve(lab, home.host(f"server{maps}"))
    mapped = server.wait_for(MAPPED)
    assert mapped[1] == home.ipv4 and mapped[3] == name
    assert mapped_ports(home) == [int(mapped[2])]
    client = Client(lab, office.host(f"client{maps}"), "client", server.tox_id, "-D", "1080", env=ASKING)
    client.wait_for(DIRECT, DIRECT_S)
    server.stop()
    assert mapped_ports(home) == [], "taken back"
