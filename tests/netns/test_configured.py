"""Plain `toxvpn` and a client with config.toml, unprivileged; SIGHUP reads it again."""

import os
import signal
from pathlib import Path
from pwd import getpwnam

import pytest
from forwards import USER, Client, Server, private_directory

from lab import Host, Lab, apps

SECRET = "written down for the tests"
SERVER = """
[server]
secret_file = "secret"
allow = ["localhost:{allowed}"]
"""
CLIENT = """
[peers.office]
id = "{tox_id}"
secret_file = "secret"
"""


def keep_secret(directory: Path) -> None:
    path = directory / "secret"
    path.write_text(f"{SECRET}\n")
    path.chmod(0o600)
    account = getpwnam(USER)
    os.chown(path, account.pw_uid, account.pw_gid)


def echoes(host: Host, port: int) -> bool:
    try:
        with host.connect("127.0.0.1", port) as connection:  # a refusal may come before this returns
            connection.settimeout(10)
            connection.sendall(b"word")
            return connection.recv(4) == b"word"
    except ConnectionResetError:
        return False


def test_a_configuration_for_the_server_and_a_name_for_the_client(tox_network: Lab) -> None:
    there, here = tox_network.host("there"), tox_network.host("here")
    apps.echo_server(there, 7)
    apps.echo_server(there, 9)
    kept, own = private_directory(there, "kept"), private_directory(here, "own")
    for directory in (kept, own):
        keep_secret(directory)
    (kept / "config.toml").write_text(SERVER.format(allowed=7))
    server = Server(tox_network, there, kept)
    (own / "config.toml").write_text(CLIENT.format(tox_id=server.tox_id))

    forwards = ("-L", "7007:localhost:7", "-L", "7009:localhost:9")
    client = Client(tox_network, here, "client", "office", "-C", str(own), *forwards)
    client.wait_for(r"peer [0-9A-F]{8}: (udp|tcp-relay)")
    assert echoes(here, 7007) and not echoes(here, 7009)
    with here.connect("127.0.0.1", 7007) as old:
        (kept / "config.toml").write_text(SERVER.format(allowed=9))
        server.process.send_signal(signal.SIGHUP)
        server.wait_for(r"reload: \[server\] changed")
        assert echoes(here, 7009) and not echoes(here, 7007)
        old.settimeout(10)
        with pytest.raises(ConnectionResetError):
            old.recv(1)

    with here.connect("127.0.0.1", 7009) as old:
        old.settimeout(10)
        old.sendall(b"before")
        assert old.recv(6) == b"before"

        (kept / "config.toml").write_text("[server")
        server.process.send_signal(signal.SIGHUP)
        server.wait_for(r"reload failed, nothing was changed: .*config.toml: not TOML")
        assert echoes(here, 7009)
        old.sendall(b"still")
        assert old.recv(5) == b"still"
    assert SECRET not in server.log_text() + client.log_text()
