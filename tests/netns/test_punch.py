"""Two hosts behind NATs, of which one gives each destination another port, come to a direct path."""

import pytest
from forwards import DIRECT, WITH_SECRET, Client, Server, private_directory

from lab import Lab

LISTEN, TARGET = 7007, 9000
DATA = b"through the door" * 50_000
PATIENCE_S = 60.0


@pytest.mark.parametrize("hard", ["client", "server"])
def test_a_router_that_changes_ports(tox_network: Lab, hard: str) -> None:
    hosts = {
        name: tox_network.nat(f"{name}nat", "symmetric" if name == hard else "cone").host(name)
        for name in ("client", "server")
    }
    server = Server(
        tox_network, hosts["server"], private_directory(hosts["server"], "toxvpn"), env=WITH_SECRET
    )
    forward = f"{LISTEN}:127.0.0.1:{TARGET}"
    client = Client(
        tox_network, hosts["client"], "client", server.tox_id, "-L", forward, road="auto", env=WITH_SECRET
    )
    client.wait_for(DIRECT, PATIENCE_S)
    server.wait_for(DIRECT, PATIENCE_S)
    assert "found a port of our router" in {"client": client, "server": server}[hard].log_text()
    with hosts["server"].socket() as listener:
        listener.bind(("127.0.0.1", TARGET))
        listener.listen()
        with hosts["client"].connect("127.0.0.1", LISTEN) as near:
            far, _ = listener.accept()
            with far:
                near.sendall(DATA)
                got = b""
                while len(got) < len(DATA):
                    got += far.recv(1 << 20)
    assert got == DATA
    assert "tcp-relay" not in client.log_text().rsplit("udp", 1)[1]
