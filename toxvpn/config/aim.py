"""What `toxvpn policy` asks about: `tcp/22`, `udp/10.0.0.5:53`, `tcp/[fd00::5]:22`, `icmp`."""

from dataclasses import dataclass
from ipaddress import ip_address

from ..errors import UsageError
from ..tcpforward.spec import parse_host, split_fields
from ..wire.ip import TCP, UDP
from ..wire.policy import ICMP, ICMP_OF, IPAddress
from ..wire.ports import parse_port

_PROTOCOLS = {"tcp": TCP, "udp": UDP, "icmp": ICMP}
_FORM = "expected tcp/22, udp/10.0.0.5:53, tcp/[fd00::5]:443, icmp or icmp/10.0.0.5"


@dataclass(frozen=True, slots=True)
class Aim:
    """`address` None: this machine. `port` is 0 for ICMP."""

    protocol: int
    address: IPAddress | None = None
    port: int = 0

    def protocol_of(self, version: int) -> int:
        """The number of the protocol over that version of IP."""
        return ICMP_OF[version] if self.protocol == ICMP else self.protocol


def parse_aim(text: str) -> Aim:
    """Raises UsageError."""
    try:
        return _aim(text)
    except ValueError as error:
        raise UsageError(f"{text!r}: {error}; {_FORM}") from None


def _aim(text: str) -> Aim:
    word, _, rest = text.partition("/")
    protocol = _PROTOCOLS.get(word.lower())
    if protocol is None:
        raise ValueError("it does not begin with tcp, udp or icmp")
    fields = split_fields(rest)
    if protocol == ICMP:
        if len(fields) != 1:
            raise ValueError("icmp has no ports")
        return Aim(protocol, _address(rest) if rest else None)
    if len(fields) > 2:
        raise ValueError("an IPv6 address needs brackets")
    return Aim(protocol, _address(fields[0]) if len(fields) == 2 else None, parse_port(fields[-1]))


def _address(host: str) -> IPAddress | None:
    if host.lower() == "localhost":
        return None
    try:
        return ip_address(parse_host(host))
    except ValueError:
        raise ValueError(f"{host!r} is not an address, and packets have no names") from None
