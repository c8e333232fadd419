"""`-R [bind:]port:host:hostport` as typed by a person; as `-L` (spec.py), with the ends exchanged."""

from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from ...errors import UsageError
from ...wire.ports import parse_port
from ...wire.remotelisten import IPAddress
from ..spec import EVERYWHERE, LOOPBACK, Target, join_host_port, parse_host, split_fields, target_of
from ..unix.paths import is_path

_FORM = "[bind:]port:host:hostport, IPv6 addresses in brackets, e.g. 8080:[::1]:80; port 0 is any"
_LISTEN_FORM = "[bind:]port, an IPv6 address in brackets, e.g. 8080 or *:8080"


@dataclass(frozen=True, slots=True)
class RemoteListen:
    """Where the peer is to listen. Port 0: it chooses."""

    addresses: tuple[IPAddress, ...]
    port: int

    def __str__(self) -> str:
        return ", ".join(join_host_port(str(address), self.port) for address in self.addresses)


@dataclass(frozen=True, slots=True)
class RemoteForward:
    """One `-R`. `target` is resolved on this side."""

    listen: RemoteListen
    target: Target

    def __str__(self) -> str:
        return f"{self.listen} -> {self.target}"


def parse_remote(text: str) -> RemoteForward:
    """`[bind:]port:host:hostport`, or a path for the target. Raises UsageError."""
    try:
        fields = split_fields(text)
        last = 1 if is_path(fields[-1]) else 2  # the fields of the target
        if not last < len(fields) <= last + 2:
            raise ValueError("parts are missing" if len(fields) <= last else "too many parts")
        return RemoteForward(_listen(fields[:-last]), target_of(fields[-last:]))
    except ValueError as error:
        raise UsageError(f"{text!r}: {error}; expected {_FORM}") from None


def parse_remote_listen(text: str) -> RemoteListen:
    """`[bind:]port`. Raises UsageError."""
    try:
        fields = split_fields(text)
        if len(fields) > 2:
            raise ValueError("too many parts")
        return _listen(fields)
    except ValueError as error:
        raise UsageError(f"{text!r}: {error}; expected {_LISTEN_FORM}") from None


def _listen(fields: list[str]) -> RemoteListen:
    """No bind: loopback; an empty one or `*`: all interfaces (as ssh). Raises ValueError."""
    port = 0 if fields[-1] == "0" else parse_port(fields[-1])
    return RemoteListen(_addresses(fields[0] if len(fields) == 2 else "localhost"), port)


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
