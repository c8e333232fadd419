"""A config.toml with two peers, and the Tox IDs of one of them and of another peer."""

from toxvpn.wire.toxid import ToxId

BOX = ToxId(bytes(range(32)), b"\1\2\3\4")
NAS = ToxId(bytes(range(32, 64)), b"\1\2\3\4")
TEXT = f"""
[node]
nodes_file = "nodes.json"
udp_ports = "20000:20100"
tcp_port = 3389
udp_segmentation = "off"
lan_discovery = false
port_mapping = false
keep_streams = "8h"
[server]
[vpn]
name = "here"
[peers.box]
id = "{BOX}"
secret_file = "box.secret"
[peers.half]
id = "{bytes(range(64, 96)).hex()}"
"""
