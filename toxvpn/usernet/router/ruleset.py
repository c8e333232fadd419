"""The nftables table of the router's namespace: which packets of the peers come to our sockets. Text, pure.

What begins a conversation over TCP, or by an echo request, goes to a second TUN device, the gate: toxvpn
tries to reach the target first, and lets the SYN in when it has (gate.py). What is let in there, and every
datagram that no socket waits for, is given to our listeners (TPROXY). What belongs to a socket of ours is
delivered to it.
"""

from collections.abc import Collection

from .destinations import Network

GATE = "toxvpn-gate"
"""The name of the device; of at most 15 bytes."""
PORT = 1
"""Where our listeners wait, on the loopback addresses of the namespace: no port that a program chooses."""
TO_US, TO_GATE = 1, 2
"""Packet marks: delivered here whatever the address, and to the gate."""
TABLE = "inet toxvpn_router"

_KINDS = {4: "ipv4_addr", 6: "ipv6_addr"}
_CHAINS = f"""
chain arriving {{
    type filter hook prerouting priority mangle; policy accept;
    iifname "{GATE}" goto let_in
    iifname != $vpn accept
    tcp flags & (fin | syn | rst | ack) != syn socket transparent 1 meta mark set {TO_US} accept
    meta l4proto != tcp socket transparent 1 meta mark set {TO_US} accept
    fib daddr type local goto for_this_machine
    ip daddr @behind4 goto for_what_is_behind
    ip6 daddr @behind6 goto for_what_is_behind
}}
chain for_this_machine {{
    tcp flags & (fin | syn | rst | ack) != syn accept
    socket transparent 0 socket wildcard {{ 0, 1 }} accept
    meta l4proto tcp meta mark set {TO_GATE} accept
    meta l4proto udp goto to_our_sockets
}}
chain for_what_is_behind {{
    tcp flags & (fin | syn | rst | ack) == syn meta mark set {TO_GATE} accept
    icmp type echo-request meta mark set {TO_GATE} accept
    icmpv6 type echo-request meta mark set {TO_GATE} accept
    meta l4proto udp goto to_our_sockets
    meta l4proto tcp reject with tcp reset
    meta l4proto {{ icmp, icmpv6 }} drop
    reject with icmpx type admin-prohibited
}}
chain let_in {{
    fib daddr type local goto to_our_sockets
    ip daddr @behind4 goto to_our_sockets
    ip6 daddr @behind6 goto to_our_sockets
}}
chain to_our_sockets {{
    meta l4proto {{ tcp, udp }} tproxy ip to 127.0.0.1:{PORT} meta mark set {TO_US} accept
    meta l4proto {{ tcp, udp }} tproxy ip6 to [::1]:{PORT} meta mark set {TO_US} accept
}}
chain passing {{
    type filter hook forward priority filter; policy drop;
    iifname "{GATE}" accept
    oifname "{GATE}" accept
}}
"""


def table(interface: str, behind: Collection[Network]) -> str:
    """The script for nft that makes the table; `interface` is the VPN's device."""
    sets = [_set(f"behind{version}", kind, version, behind) for version, kind in _KINDS.items()]
    return "\n".join([f'define vpn = "{interface}"', f"table {TABLE} {{", *sets, _CHAINS, "}", ""])


def _set(name: str, kind: str, version: int, networks: Collection[Network]) -> str:
    elements = ", ".join(str(network) for network in networks if network.version == version)
    listed = f" elements = {{ {elements} }};" if elements else ""
    return f"set {name} {{ type {kind}; flags interval; auto-merge;{listed} }}"
