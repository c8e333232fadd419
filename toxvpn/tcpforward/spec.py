"""Forward specifications as typed by a person: text in, frozen values out.

    -L [bind:]port:host:hostport     Forward, of TCP; udp/… and both/… before it name the protocol
    -P/-W host:port                  Target
    -D [bind:]port                   Listen

A Unix socket's path may stand for host:port and for [bind:]port, as in ssh (unix/paths.py). IPv6 addresses
stand in brackets; `@` may stand for `:` anywhere outside brackets and paths, as in tuntox.
`listen.py` opens what a Listen says; a Target travels to the serving side, which resolves it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from ipaddress import AddressValueError, IPv6Address
from typing import TypeVar

from ..errors import UsageError
from ..wire.ports import parse_port
from .unix import paths

T = TypeVar("T")

LOOPBACK = ("127.0.0.1", "::1")
EVERYWHERE = ("0.0.0.0", "::")
SIGN = "@"
"""Begins the name of what a toxvpn is itself (builtin.py), which is no host's and cannot be typed."""
PRIVATE = 0o600
ONLY_STREAMS = "a Unix socket carries streams alone: leave out udp/ or both/"
MAX_HOST_BYTES = 255  # a DNS name (RFC 1035 §2.3.4), and what SOCKS5 can carry (RFC 1928 §5)

_FORWARD_FORM = (
    "[bind:]port:host:hostport, IPv6 addresses in brackets, e.g. 8080:[::1]:80, udp/53:dns:53 or 80:/path"
)
_FORWARD_LISTEN_FORM = "[bind:]port, an IPv6 address in brackets, e.g. [::1]:8080 or udp/5353, or a path"
_TARGET_FORM = "host:port, an IPv6 address in brackets, e.g. [::1]:22, or the path of a Unix socket"
_LISTEN_FORM = "[bind:]port, an IPv6 address in brackets, e.g. [::1]:1080, or the path of a Unix socket"


class RoadPolicy(StrEnum):
    """The roads that a stream may take, `--road` (docs/design.md, "Two roads for a TCP byte")."""

    AUTO = "auto"
    FAST = "fast"
    TUNTOX = "tuntox"


class Transport(StrEnum):
    """What a forward carries. `BOTH` is typed; two listeners come of it."""

    TCP = "tcp"
    UDP = "udp"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Target:
    """The target of a stream; the serving side resolves `host`, which may be a path as it travels."""

    host: str
    port: int

    def __str__(self) -> str:
        if self.is_path:
            return paths.escaped(paths.from_host(self.host))
        return join_host_port(self.host, self.port)

    @property
    def is_path(self) -> bool:
        """Whether it is a Unix socket."""
        return paths.is_path(self.host)

    @property
    def takes_toxvpn(self) -> bool:
        """Whether a tuntox program cannot have it."""
        return self.is_path or self.host.startswith(SIGN)


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to accept connections or datagrams: `hosts` are addresses or local names, all with one port."""

    hosts: tuple[str, ...]
    port: int
    transport: Transport = Transport.TCP

    def __str__(self) -> str:
        prefix = "" if self.transport is Transport.TCP else f"{self.transport}/"
        return prefix + ", ".join(join_host_port(host, self.port) for host in self.hosts)

    def each(self) -> "tuple[Listen, ...]":
        """One for each protocol."""
        if self.transport is not Transport.BOTH:
            return (self,)
        return replace(self, transport=Transport.TCP), replace(self, transport=Transport.UDP)


@dataclass(frozen=True, slots=True)
class UnixListen:
    """A Unix socket to accept connections on; its file gets that mode."""

    path: str
    mode: int = PRIVATE

    def __str__(self) -> str:
        return paths.escaped(self.path)

    @property
    def transport(self) -> Transport:
        return Transport.TCP

    def each(self) -> "tuple[UnixListen, ...]":
        return (self,)


AnyListen = Listen | UnixListen


@dataclass(frozen=True, slots=True)
class Forward:
    """One `-L`."""

    listen: AnyListen
    target: Target

    def __str__(self) -> str:
        return f"{self.listen} -> {self.target}"


def parse_forward(text: str) -> Forward:
    """`[bind:]port:host:hostport`, perhaps after `udp/` or `both/`, or with a path for either half.

    Raises UsageError.
    """
    transport, rest = split_transport(text)
    made = _parse(text, rest, _FORWARD_FORM, _forward)
    if transport is not Transport.TCP and made.target.is_path:
        raise UsageError(f"{text!r}: {ONLY_STREAMS}")
    return Forward(_of(transport, made.listen, text), made.target)


def parse_target(text: str) -> Target:
    """`host:port` or a path. Raises UsageError."""
    return _parse(text, text, _TARGET_FORM, target_of)


def parse_listen(text: str) -> AnyListen:
    """`[bind:]port`, where no bind is loopback, an empty one or `*` all interfaces, as in ssh; or a path.

    Raises UsageError.
    """
    return _parse(text, text, _LISTEN_FORM, _listen)


def parse_forward_listen(text: str) -> AnyListen:
    """As `parse_listen`, perhaps after `udp/` or `both/`. Raises UsageError."""
    transport, rest = split_transport(text)
    return _of(transport, _parse(text, rest, _FORWARD_LISTEN_FORM, _listen), text)


def join_host_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def split_fields(text: str) -> list[str]:
    """Cut at each `:` or `@` outside brackets; `[::1]:22` gives `[::1]` and `22`. Raises ValueError.

    A path goes on to the next `:` that has no backslash before it.
    """
    fields, start, inside = [], 0, False
    for place, letter in enumerate(text):
        if text.startswith("/", start):
            if letter == ":" and text[place - 1] != "\\":
                fields.append(text[start:place])
                start = place + 1
        elif letter == "[":
            if inside or place != start:
                raise ValueError("a '[' that does not begin an address")
            inside = True
        elif letter == "]":
            if not inside or text[place + 1 : place + 2] not in ("", ":", "@"):
                raise ValueError("a ']' that does not end an address")
            inside = False
        elif letter in ":@" and not inside:
            fields.append(text[start:place])
            start = place + 1
    if inside:
        raise ValueError("a '[' without its ']'")
    return [*fields, text[start:]]


def split_forward(text: str) -> list[str]:
    """As `split_fields`, of something that has no `/` but in paths. Raises ValueError."""
    fields = split_fields(text)
    for field in fields:
        if paths.is_path(field) or ("/" not in field and field is not fields[0]):
            continue
        if named := next((word for word in field.split("/") if word.lower() in list(Transport)), None):
            raise ValueError(f"{named!r} is in the wrong place: the protocol stands first, as in udp/5353")
        if "/" in field:
            raise ValueError(f"a path begins with '/', and {field!r} does not")
    return fields


def parse_host(field: str) -> str:
    """A host name or address, taken out of its brackets. Raises ValueError."""
    if not field:
        raise ValueError("the host is missing")
    if field.startswith("["):
        field = field[1:-1]
        try:
            IPv6Address(field)
        except AddressValueError:
            raise ValueError(f"{field!r} is not an IPv6 address") from None
    if not host_is_sane(field):
        raise ValueError(
            f"the host has more than {MAX_HOST_BYTES} bytes, or spaces or control characters in it"
        )
    return field


def host_is_sane(host: str) -> bool:
    """Whether it can be handed to a resolver: 1..255 bytes, no NUL, space or control character."""
    try:
        size = len(host.encode())
    except UnicodeEncodeError:
        return False
    return 0 < size <= MAX_HOST_BYTES and host.isprintable() and " " not in host


def split_transport(text: str) -> tuple[Transport, str]:
    """The protocol, and what stands behind its `/`; TCP where none is named."""
    word, slash, rest = text.partition("/")
    named = next((each for each in Transport if each == word.lower()), None)
    return (named, rest) if slash and named else (Transport.TCP, text)


def _of(transport: Transport, listen: AnyListen, text: str) -> AnyListen:
    """Raises UsageError: a Unix socket takes no datagrams."""
    if isinstance(listen, Listen):
        return replace(listen, transport=transport)
    if transport is not Transport.TCP:
        raise UsageError(f"{text!r}: {ONLY_STREAMS}")
    return listen


def _parse(text: str, fields: str, form: str, build: Callable[[list[str]], T]) -> T:
    """`text` is what was typed, for the error; `fields` what is left of it to read."""
    try:
        return build(split_forward(fields))
    except ValueError as error:
        raise UsageError(f"{text!r}: {error}; expected {form}") from None


def _forward(fields: list[str]) -> Forward:
    last = 1 if paths.is_path(fields[-1]) else 2  # the fields of the target
    _expect(fields, last + 1, last + 2)
    return Forward(_listen(fields[:-last]), target_of(fields[-last:]))


def target_of(fields: list[str]) -> Target:
    """The target that these fields, as `split_fields` gives them, name. Raises ValueError."""
    if paths.is_path(fields[0]):
        _expect(fields, 1, 1)
        return Target(paths.as_host(paths.check_path(paths.unescaped(fields[0]))), paths.WIRE_PORT)
    _expect(fields, 2, 2)
    return Target(parse_host(fields[0]), parse_port(fields[1]))


def _listen(fields: list[str]) -> AnyListen:
    if paths.is_path(fields[0]):
        _expect(fields, 1, 1)
        return UnixListen(paths.check_path(paths.unescaped(fields[0])))
    _expect(fields, 1, 2)
    port = parse_port(fields[-1])
    if len(fields) == 1:
        return Listen(LOOPBACK, port)
    if fields[0] in ("", "*"):
        return Listen(EVERYWHERE, port)
    host = parse_host(fields[0])
    return Listen(LOOPBACK if host == "localhost" else (host,), port)


def _expect(fields: list[str], least: int, most: int) -> None:
    if len(fields) < least:
        raise ValueError("parts are missing")
    if len(fields) > most:
        raise ValueError("too many parts")
