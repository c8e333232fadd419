"""The resolv.conf of a user's network: its own DNS server, which knows the names of the peers alone.

Names elsewhere are refused there, and the C library then asks the next server, if there is one
(resolv.conf(5)).
"""

from ipaddress import IPv4Address

from ..names.zone import DOMAIN

SERVER = IPv4Address("127.0.0.1")


def resolv_conf(next_server: IPv4Address | None) -> bytes:
    """The content of the file; `next_server` is asked for all other names."""
    servers = [SERVER] if next_server is None else [SERVER, next_server]
    return "".join([*(f"nameserver {each}\n" for each in servers), f"search {DOMAIN}\n"]).encode()
