"""The proxy between us and the Tox network, as typed by a person: text in, a frozen value out.

Only Tox traffic goes through it, and then all of it: UDP is off, and without the proxy there is no
network. Who uses it: birth.py hands it to toxcore, base.py leaves host names to the proxy's far side.
"""

from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address
from typing import Literal

from ..errors import UsageError

FORM = "expected socks5://HOST:PORT or http://HOST:PORT"
KINDS: dict[str, Literal["socks5", "http"]] = {"socks5": "socks5", "socks5h": "socks5", "http": "http"}
MAX_HOST_BYTES = 254  # tox.h: TOX_MAX_HOSTNAME_LENGTH, less the NUL


@dataclass(frozen=True, slots=True)
class Proxy:
    kind: Literal["socks5", "http"]
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.kind}://{host}:{self.port}"


def parse_proxy(text: str, name: str) -> Proxy:
    """`name` is where the text comes from; messages do not show the text, where a password may be.

    Raises UsageError.
    """
    kind, found, rest = text.partition("://")
    place = rest.removesuffix("/")
    if not found or kind.lower() not in KINDS:
        raise UsageError(f"{name}: {FORM}; toxcore can use no other kind of proxy")
    if place.count("@") and ":" in place.rpartition("@")[2]:
        raise UsageError(f"{name}: toxcore can use no proxy that asks for a name or password; {FORM}")
    host, _, port = place.replace("@", ":").rpartition(":")  # tuntox takes @ for : here too
    if not (port.isascii() and port.isdigit() and len(port) < 6 and 0 < int(port) < 65536):
        raise UsageError(f"{name}: the port is missing or no number from 1 to 65535; {FORM}")
    bracketed = host.startswith("[") and host.endswith("]")
    if not (is_ipv6(host[1:-1]) if bracketed else is_name(host)):
        raise UsageError(f"{name}: that is no host; {FORM}, an IPv6 address in brackets")
    return Proxy(KINDS[kind.lower()], host.strip("[]"), int(port))


def is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return True


def is_name(text: str) -> bool:
    """Or an IPv4 address."""
    usable = text.isascii() and text.isprintable() and not set(text) & set(" /?#[]@:")
    return usable and 0 < len(text) <= MAX_HOST_BYTES
