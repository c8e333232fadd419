"""The proxy between us and the Tox network, as typed by a person: text in, a frozen value out.

All Tox traffic goes through it, and nothing else: UDP is off, and without the proxy there is no network.
Neighbours: handle.py gives it to toxcore; daemon/node.py then resolves no host names.
"""

from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address
from typing import Literal

from ..wire.ports import parse_port

FORM = "expected socks5://HOST:PORT or http://HOST:PORT"
KINDS: dict[str, Literal["socks5", "http"]] = {"socks5": "socks5", "socks5h": "socks5", "http": "http"}
MAX_HOST_BYTES = 254  # tox.h: TOX_MAX_HOSTNAME_LENGTH, less the NUL


@dataclass(frozen=True, slots=True)
class Proxy:
    kind: Literal["socks5", "http"]
    host: str
    port: int

    @property
    def is_local(self) -> bool:
        """Whether it runs on this machine."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.kind}://{host}:{self.port}"


def parse_proxy(text: str) -> Proxy:
    """Raises ValueError, without `text` in its message: it may contain a password."""
    kind, found, rest = text.partition("://")
    place = rest.removesuffix("/")
    if not found or kind.lower() not in KINDS:
        raise ValueError(f"{FORM}; toxcore supports no other kind of proxy")
    if place.count("@") and ":" in place.rpartition("@")[2]:
        raise ValueError(f"toxcore supports no proxy that asks for a name or password; {FORM}")
    host, _, digits = place.replace("@", ":").rpartition(":")  # tuntox takes @ for : here too
    try:
        port = parse_port(digits)
    except ValueError:
        raise ValueError(f"the port is missing or not a number from 1 to 65535; {FORM}") from None
    bracketed = host.startswith("[") and host.endswith("]")
    if not (is_ipv6(host[1:-1]) if bracketed else is_name(host)):
        raise ValueError(f"the host is not a name or an address; {FORM}, with an IPv6 address in brackets")
    return Proxy(KINDS[kind.lower()], host.strip("[]"), port)


def is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return True


def is_name(text: str) -> bool:
    """Whether it can be a host name or an IPv4 address."""
    usable = text.isascii() and text.isprintable() and not set(text) & set(" /?#[]@:")
    return usable and 0 < len(text) <= MAX_HOST_BYTES
