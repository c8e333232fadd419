"""`toxvpn config check` and `config show`."""

import json
from pathlib import Path
from typing import Any

from toxvpn.members import peers
from toxvpn.members.peers import ConfiguredPeer

from .config_example import BOX, NAS


def test_check(toxvpn: Any, config: Path) -> None:
    (config / "nodes.json").write_text('{"nodes": []}')
    ran = toxvpn("-C", config, "config", "check")
    assert ran.code == 78 and "nodes.json" in ran.err
    node = {"ipv4": "127.0.0.1", "port": 1, "public_key": "00" * 32}
    (config / "nodes.json").write_text(json.dumps({"nodes": [node]}))
    ran = toxvpn("-C", config, "config", "check")
    assert (ran.code, ran.out, ran.err) == (0, f"{config}/config.toml: good\n", "")


def test_show_names_every_key_and_where_it_comes_from(toxvpn: Any, config: Path) -> None:
    (config / "config.toml").write_text(
        f"""
[server]
secret_file = "box.secret"
allow = ["localhost:22"]
[vpn]
[peers.box]
id = "{BOX}"
vpn = false
[[forwards]]
peer = "box"
listen = 2222
target = "localhost:22"
[[remote_forwards]]
peer = "box"
listen = "*:8080"
target = "localhost:80"
"""
    )
    peers.save(config, {NAS.public_key: ConfiguredPeer(NAS.public_key, NAS.nospam, "nas")})
    ran = toxvpn("-C", config, "config", "show")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        "node.nodes_file = (built-in)  # default",
        "node.udp_ports = (100 random ones)  # default",
        "node.tcp_port = 0  # default",
        "node.proxy = (none)  # default",
        'node.udp_segmentation = "auto"  # default',
        "node.lan_discovery = true  # default",
        "node.port_mapping = true  # default",
        'node.keep_streams = "2h"  # default',
        "node.relay_for = []  # default",
        f'server.secret_file = "{config}/box.secret"  # config.toml',
        "server.whitelist = (everybody with the secret)  # default",
        "server.open = false  # default",
        'server.allow = ["localhost:22"]  # config.toml',
        "server.allow_speed = (who is on the network or was named here)  # default",
        "server.allow_listen = []  # default",
        "vpn.name = (the host's name)  # default",
        "vpn.hosts = false  # default",
        "vpn.address = (follows from the key)  # default",
        "vpn.mtu = 1368  # default",
        'vpn.interface = "toxvpn0"  # default',
        "vpn.multicast = []  # default",
        "vpn.offload = true  # default",
        "vpn.advertise = (none)  # default",
        "vpn.snat = true  # default",
        "vpn.exit = (none)  # default",
        "vpn.exit_lan = true  # default",
        f'peers.box.id = "{BOX}"  # config.toml',
        "peers.box.secret_file = (none)  # default",
        "peers.box.allow = (by forwards as server.allow, over the VPN all of this machine)  # default",
        "peers.box.allow_listen = (as server.allow_listen)  # default",
        "peers.box.vpn = false  # config.toml",
        "peers.box.address = (follows from its key)  # default",
        "peers.box.routes = (none)  # default",
        "peers.box.may_exit = false  # default",
        "peers.box.allow_speed = (as server.allow_speed, else yes)  # default",
        'forwards[1].peer = "box"  # config.toml',
        "forwards[1].listen = 2222  # config.toml",
        'forwards[1].target = "localhost:22"  # config.toml',
        'remote_forwards[1].peer = "box"  # config.toml',
        'remote_forwards[1].listen = "*:8080"  # config.toml',
        'remote_forwards[1].target = "localhost:80"  # config.toml',
        f'peers.nas.id = "{NAS}"  # peers.json',
    ]
    assert "of the box" not in ran.out


def test_show_without_a_file(toxvpn: Any, here: Path) -> None:
    ran = toxvpn("-C", here, "config", "show")
    assert ran.code == 0 and "node.tcp_port = 0  # default" in ran.out
    assert not here.exists()


def test_show_names_the_secret_that_the_server_makes(toxvpn: Any, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[server]\n")
    assert (
        f'server.secret_file = "{tmp_path}/secret"  # default' in toxvpn("-C", tmp_path, "config", "show").out
    )
    assert not (tmp_path / "secret").exists()
