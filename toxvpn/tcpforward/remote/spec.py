"""`-R [bind:]port:host:hostport` as typed by a person; as `-L` (spec.py), with the ends exchanged.

A path may stand for either half.
"""

from dataclasses import dataclass, replace
from ipaddress import IPv6Address, ip_address

from ...errors import UsageError
from ...wire.ports import parse_port
from ...wire.remotelisten import IPAddress
from ..spec import (
    EVERYWHERE,
    LOOPBACK,
    ONLY_STREAMS,
    Target,
    Transport,
    join_host_port,
    parse_host,
    split_forward,
    split_transport,
    target_of,
)
from ..unix.paths import check_path, escaped, is_path, unescaped

_FORM = (
    "[bind:]port:host:hostport, IPv6 addresses in brackets, e.g. 8080:[::1]:80 or udp/53:h:53; port 0: any"
)
_LISTEN_FORM = "[bind:]port, an IPv6 address in brackets, e.g. 8080, *:8080 or udp/5353"


@dataclass(frozen=True, slots=True)
class RemoteListen:
    """Where the peer is to listen. Port 0: it chooses; or there is a `path`, and there are no addresses."""

    addresses: tuple[IPAddress, ...]
    port: int
    transport: Transport = Transport.TCP
    path: str | None = None

    def __str__(self) -> str:
        if self.path is not None:
            return escaped(self.path)
        prefix = "" if self.transport is Transport.TCP else f"{self.transport}/"
        return prefix + ", ".join(join_host_port(str(address), self.port) for address in self.addresses)


@dataclass(frozen=True, slots=True)
class RemoteForward:
    """One `-R`. `target` is resolved on this side."""

    listen: RemoteListen
    target: Target

    def __str__(self) -> str:
        return f"{self.listen} -> {self.target}"

    def each(self) -> "tuple[RemoteForward, ...]":
        """One for each protocol."""
        if self.listen.transport is not Transport.BOTH:
            return (self,)
        kinds = Transport.TCP, Transport.UDP
        return tuple(replace(self, listen=replace(self.listen, transport=each)) for each in kinds)


def parse_remote(text: str) -> RemoteForward:
    """`[bind:]port:host:hostport`, perhaps after `udp/` or `both/`, or a path for either half.

    Raises UsageError.
    """
    transport, rest = split_transport(text)
    try:
        fields = split_forward(rest)
        last = 1 if is_path(fields[-1]) else 2  # the fields of the target
        if not last < len(fields) <= last + 2:
            raise ValueError("parts are missing" if len(fields) <= last else "too many parts")
        target = target_of(fields[-last:])
        if target.is_path and transport is not Transport.TCP:
            raise ValueError(ONLY_STREAMS)
        return RemoteForward(_listen(fields[:-last], transport), target)
    except ValueError as error:
        raise UsageError(f"{text!r}: {error}; expected {_FORM}") from None


def parse_remote_listen(text: str) -> RemoteListen:
    """`[bind:]port`, perhaps after `udp/` or `both/`, or a path. Raises UsageError."""
    transport, rest = split_transport(text)
    try:
        fields = split_forward(rest)
        if len(fields) > 2:
            raise ValueError("too many parts")
        return _listen(fields, transport)
    except ValueError as error:
        raise UsageError(f"{text!r}: {error}; expected {_LISTEN_FORM}") from None


def _listen(fields: list[str], transport: Transport) -> RemoteListen:
    """No bind: loopback; an empty one or `*`: all interfaces (as ssh). Raises ValueError."""
    if is_path(fields[0]):
        if len(fields) > 1:
            raise ValueError("too many parts")
        if transport is not Transport.TCP:
            raise ValueError(ONLY_STREAMS)
        return RemoteListen((), 0, path=check_path(unescaped(fields[0])))
    port = 0 if fields[-1] == "0" else parse_port(fields[-1])
    return RemoteListen(_addresses(fields[0] if len(fields) == 2 else "localhost"), port, transport)


def _addresses(bind: str) -> tuple[IPAddress, ...]:
    """Raises ValueError."""
    if bind in ("", "*"):
        return tuple(map(ip_address, EVERYWHERE))
    host = parse_host(bind)
    if host == "localhost":
        return tuple(map(ip_address, LOOPBACK))
    try:
        address = ip_address(host)
    except ValueError:
        raise ValueError(f"{host!r} is not an address: the server looks up no names to listen at") from None
    if isinstance(address, IPv6Address) and (address.scope_id or address.ipv4_mapped):
        raise ValueError(f"{host!r} is not an address to listen at: give it without a zone, IPv4 as IPv4")
    return (address,)
