"""The nftables table of the router's namespace: which packets of the peers come to our sockets. Text, pure.

What begins a conversation over TCP, or by an echo request, goes to a second TUN device, the gate: toxvpn
tries to reach the target first, and lets the SYN in when it has (gate.py). What is let in there, and every
datagram that no socket waits for, is given to our listeners (TPROXY). What belongs to a socket of ours is
delivered to it.
"""

from .destinations import Destinations

GATE = "toxvpn-gate"
"""The name of the device; of at most 15 bytes."""
PORT = 1
"""Where our listeners wait, on the loopback addresses of the namespace: no port that a program chooses."""
TO_US, TO_GATE = 1, 2
"""Packet marks: delivered here whatever the address, and to the gate."""
TABLE = "inet toxvpn_router"

_CHAINS = f"""
chain arriving {{
    type filter hook prerouting priority mangle; policy accept;
    iifname "{GATE}" goto let_in
    iifname "lo" accept
    tcp flags & (fin | syn | rst | ack) != syn socket transparent 1 meta mark set {TO_US} accept
    meta l4proto != tcp socket transparent 1 meta mark set {TO_US} accept
    ip daddr @own4 goto for_this_machine
    ip6 daddr @own6 goto for_this_machine
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
    ip daddr @own4 goto to_our_sockets
    ip6 daddr @own6 goto to_our_sockets
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


def table(destinations: Destinations) -> str:
    """The script for nft that puts the table in place of the one before."""
    own = [str(address) for address in destinations.own]
    behind = [str(network) for network in destinations.behind]
    content = "\n".join([*_sets("own", own), *_sets("behind", behind), _CHAINS])
    return f"add table {TABLE}\ndelete table {TABLE}\ntable {TABLE} {{\n{content}}}\n"


def _sets(name: str, texts: list[str]) -> list[str]:
    """A set for each IP version."""
    found = sorted(texts)
    return [
        _set(f"{name}4", "ipv4_addr", [text for text in found if ":" not in text]),
        _set(f"{name}6", "ipv6_addr", [text for text in found if ":" in text]),
    ]


def _set(name: str, kind: str, elements: list[str]) -> str:
    listed = f" elements = {{ {', '.join(elements)} }};" if elements else ""
    return f"set {name} {{ type {kind}; flags interval; auto-merge;{listed} }}"
