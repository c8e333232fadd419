"""Who has no UDP reaches a server that is a relay by that relay, though both begin on bootstrap nodes."""

import os
import re

from forwards import WITH_SECRET, Client, Server, private_directory

from lab import Host, Lab, apps, wait_until

ECHO, RELAY = 7007, 3389
HERE = "127.0.0.1"
NOISE = os.urandom(20_000)


def echoed(host: Host) -> bool:
    with host.connect(HERE, ECHO, 30.0) as sock:
        sock.sendall(NOISE)
        received = b""
        while len(received) < len(NOISE) and (more := sock.recv(1 << 16)):
            received += more
    return received == NOISE


def carried(host: Host) -> list[int]:
    """The bytes that each connection to the relay has sent, and had acknowledged."""
    said = host.run(["ss", "-tinH", "state", "established", "dport", "=", f":{RELAY}"]).stdout
    return [int(count) for count in re.findall(r"bytes_acked:(\d+)", said)]


def test_the_servers_own_relay_carries(tox_network: Lab) -> None:
    """By both ends: the server connects to its own relay too."""
    server_host, client_host = tox_network.host("server"), tox_network.host("hotel")
    client_host.block_udp()
    apps.echo_server(server_host)
    directory = private_directory(server_host, "toxvpn")
    server = Server(tox_network, server_host, directory, "-t", str(RELAY), env=WITH_SECRET)
    client = Client(
        tox_network, client_host, "client", server.tox_id, "-L", f"{ECHO}:{HERE}:7", env=WITH_SECRET
    )
    client.wait_for("peer [0-9A-F]{8}: tcp-relay")

    def carries() -> bool:
        before = {host: sum(carried(host)) for host in (server_host, client_host)}
        assert echoed(client_host)
        return all(sum(carried(host)) - count >= len(NOISE) for host, count in before.items())

    wait_until(carries, "bytes on the server's own relay", 30.0)
    client.stop()
    server.stop()
