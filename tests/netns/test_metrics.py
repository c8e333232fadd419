"""Metrics of a real server, over the control socket and over HTTP, to its user and to this machine alone."""

import re
from collections.abc import Iterator

import pytest
from forwards import DIRECT, TOXVPN, USER, WITH_SECRET, Client, Server, private_directory

from lab import Host, Lab, LabError

PORT = 9469


@pytest.fixture(scope="module")
def server(_shared_network: Lab) -> Iterator[Server]:
    host = _shared_network.host("metered")
    made = Server(
        _shared_network, host, private_directory(host, "server"), "--metrics-port", str(PORT), env=WITH_SECRET
    )
    made.wait_for("Tox network: udp")
    yield made
    _shared_network.remove(host)


def fetched(host: Host, address: str) -> str:
    return host.run(["curl", "-sSf", "-m", "5", f"http://{address}:{PORT}/metrics"]).stdout


def test_the_same_over_the_control_socket_and_over_http(server: Server) -> None:
    printed = server.host.run(
        [*TOXVPN, "-C", str(server.host.directory / "server"), "metrics"], user=USER
    ).stdout
    served = fetched(server.host, "localhost")
    for text in (printed, served, fetched(server.host, "[::1]")):
        assert 'toxvpn_connection{path="udp"} 1.0' in text
        assert 'mode="server"' in text
    names = re.compile(r"^# TYPE (\S+)", re.MULTILINE)
    assert names.findall(printed) == names.findall(served)


def test_a_client_with_a_passing_identity_has_them_too(server: Server, tox_network: Lab) -> None:
    host = tox_network.host("caller")
    forward = ("-L", "7007:localhost:7", "--metrics-port", str(PORT))
    client = Client(tox_network, host, "client", server.tox_id, *forward, env=WITH_SECRET)
    client.wait_for(DIRECT)
    text = fetched(host, "localhost")
    assert 'mode="client"' in text
    assert 'toxvpn_forward_streams{listen="127.0.0.1:7007, [::1]:7007",road="tuntox"' in text
    key = server.tox_id[:64]
    assert re.search(rf'^toxvpn_peer_connection{{.*path="udp",public_key="{key}"}} 1.0$', text, re.MULTILINE)
    client.stop()


def test_nobody_else_is_served(server: Server, tox_network: Lab) -> None:
    with pytest.raises(LabError, match=r"Could not connect|Failed to connect"):
        fetched(tox_network.host("nosy"), server.host.ipv4 or "")
