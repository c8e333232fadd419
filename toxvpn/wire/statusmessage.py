"""Status messages: what a peer says of itself, parsed from any bytes and validated, and encoded.

Source: docs/wire-format.md §2 and §3. One JSON object of at most 1007 bytes, which the C++ toxvpn reads too:

    {"mode":"tun","ownip":"100.64.0.2","toxvpn":{"v":1,"ip6":...,"mtu":...,...}}

- `mode` and `ownip`: what the C++ program writes and reads; both left out by a node without an IPv4 address.
- `toxvpn`: only ours write it. `v` is required; `ip4`, `ip6`, `mtu`, `fast`, `routes`, `name`, `probes`,
  `bundles`, `version`, `exit` and `multicast` may be missing; unknown keys are ignored.

A message with an invalid value is treated as that of a plain peer, with a problem for the log. Nothing in a
status message grants anything: what a peer may use is decided by local policy.
"""

import contextlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Any

from ..errors import ConfigError
from . import exitoffer
from .exitoffer import ExitOffer
from .ip import MAX_IP_BYTES, MIN_MTU
from .multicast import stated_untrusted

MAX_STATUS_BYTES = 1007  # tox.h TOX_MAX_STATUS_MESSAGE_LENGTH
PROTOCOL_VERSION = 1
MAX_NAME_CHARACTERS = 64
VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+!_-]{0,31}")
"""A program's version, as PEP 440 has them, short enough for a table."""


@dataclass(frozen=True, slots=True)
class ToxvpnStatus:
    """The part that only toxvpn in Python writes."""

    more_ip4: tuple[IPv4Address, ...] = ()  # besides Status.ip4, which every program reads
    ip6: IPv6Address | None = None
    mtu: int | None = None  # largest inner packet accepted, in bytes
    fast: bool = False  # serves forwards over the fast path
    routes: tuple[IPv4Network | IPv6Network, ...] = ()
    name: str = ""
    probes: bool = False  # acknowledges probes of the path MTU
    bundles: bool = False  # takes several IP packets in one lossy packet (bundle.py)
    version: str = ""  # of the program
    exit: ExitOffer | None = None
    multicast: tuple[str, ...] = ()  # the groups that it takes part in


@dataclass(frozen=True, slots=True)
class Status:
    """A peer as its status message describes it; without `toxvpn` it is a plain peer.

    `problem` is one line for the log when something in the message had to be ignored.
    """

    ip4: IPv4Address | None = None
    toxvpn: ToxvpnStatus | None = None
    problem: str | None = None

    @property
    def every_ip4(self) -> tuple[IPv4Address, ...]:
        """Its IPv4 addresses, the preferred one first."""
        if self.ip4 is None:
            return ()
        return (self.ip4, *(self.toxvpn.more_ip4 if self.toxvpn else ()))

    @property
    def speaks_toxvpn(self) -> bool:
        return self.toxvpn is not None


class _InvalidError(Exception):
    """A value failed validation; `str()` says which and why."""


def encode(status: Status) -> bytes:
    """The status message to set, at most 1007 bytes.

    Raises ConfigError when it would be longer.
    """
    message: dict[str, Any] = {}
    if status.ip4 is not None:
        message |= {"mode": "tun", "ownip": str(status.ip4)}
    if status.toxvpn is not None:
        message["toxvpn"] = _encode_ours(status.toxvpn)
    encoded = json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode() if message else b""
    if len(encoded) > MAX_STATUS_BYTES:
        raise ConfigError(
            f"the status message of this node has {len(encoded)} bytes; Tox allows {MAX_STATUS_BYTES}, "
            "offer fewer routes"
        )
    return encoded


def fit(status: Status) -> tuple[bytes, list[str]]:
    """As `encode`; leaves out what peers can best do without, as far as it must, and tells what that is."""
    left_out: list[str] = []
    for name, without in _LESS.items():
        with contextlib.suppress(ConfigError):
            return encode(status), left_out
        shorter = None if status.toxvpn is None else without(status.toxvpn)
        if shorter != status.toxvpn:
            status = replace(status, toxvpn=shorter)
            left_out.append(name)
    return encode(status), left_out


_LESS: dict[str, Callable[[ToxvpnStatus], ToxvpnStatus]] = {
    "who may use the exit": lambda ours: replace(ours, exit=ours.exit and replace(ours.exit, tags=None)),
    "the multicast groups": lambda ours: replace(ours, multicast=()),
    "the name": lambda ours: replace(ours, name=""),
    "the networks behind this machine": lambda ours: replace(ours, routes=()),
}


def decode(message: bytes) -> Status:
    """Parses a peer's status message (any bytes); never raises."""
    text = message.lstrip()
    if not text.startswith(b"{"):
        return Status()  # empty, or written by a person: a plain tuntox peer
    try:
        fields = _load(message)
        ip4 = _ip4(fields.get("ownip")) if fields.get("mode") == "tun" else None
        ours = fields.get("toxvpn")
    except _InvalidError as invalid:
        return Status(problem=f"status message disregarded: {invalid}")
    try:
        return Status(ip4, None if ours is None else _decode_ours(ours))
    except _InvalidError as invalid:
        return Status(ip4, problem=f"it is treated as a peer that does not run toxvpn: {invalid}")


def _encode_ours(ours: ToxvpnStatus) -> dict[str, Any]:
    fields: dict[str, Any] = {"v": PROTOCOL_VERSION}
    if ours.more_ip4:
        fields["ip4"] = [str(address) for address in ours.more_ip4]
    if ours.ip6 is not None:
        fields["ip6"] = str(ours.ip6)
    if ours.mtu is not None:
        fields["mtu"] = ours.mtu
    fields["fast"] = ours.fast
    if ours.routes:
        fields["routes"] = [str(route) for route in ours.routes]
    if ours.name:
        fields["name"] = ours.name
    if ours.probes:
        fields["probes"] = True
    if ours.bundles:
        fields["bundles"] = True
    if ours.version:
        fields["version"] = ours.version
    if ours.exit is not None:
        fields["exit"] = exitoffer.encode(ours.exit)
    if ours.multicast:
        fields["multicast"] = list(ours.multicast)
    return fields


def _load(message: bytes) -> dict[str, Any]:
    if len(message) > MAX_STATUS_BYTES:
        raise _InvalidError(f"it has {len(message)} bytes, more than {MAX_STATUS_BYTES}")
    try:
        return json.loads(  # type: ignore[no-any-return]  # it starts with {, so it is an object
            message.decode("utf-8"), object_pairs_hook=_without_duplicates, parse_constant=_no_constant
        )
    except RecursionError:
        raise _InvalidError("it is nested too deeply") from None
    except ValueError:  # JSONDecodeError and UnicodeDecodeError are among them
        raise _InvalidError("it is not valid JSON in UTF-8") from None


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise _InvalidError("a key occurs twice")
    return fields


def _no_constant(name: str) -> None:
    raise _InvalidError(f"{name} is not JSON")


def _decode_ours(fields: Any) -> ToxvpnStatus:
    if not isinstance(fields, dict):
        raise _InvalidError("its toxvpn entry is not an object")
    version = fields.get("v")
    if type(version) is not int:
        raise _InvalidError("it names no protocol version")
    if version != PROTOCOL_VERSION:
        raise _InvalidError(f"its protocol version is not {PROTOCOL_VERSION}")
    return ToxvpnStatus(
        more_ip4=_more_ip4(fields.get("ip4", [])),
        ip6=_ip6(fields.get("ip6")),
        mtu=_mtu(fields.get("mtu")),
        fast=_flag("fast", fields.get("fast", False)),
        routes=_routes(fields.get("routes", [])),
        name=_name(fields.get("name", "")),
        probes=_flag("probes", fields.get("probes", False)),
        bundles=_flag("bundles", fields.get("bundles", False)),
        version=_version(fields.get("version")),
        exit=_exit(fields.get("exit")),
        multicast=_multicast(fields.get("multicast", [])),
    )


def _ip4(value: Any) -> IPv4Address | None:
    return None if value is None else _host("ownip", value)


def _more_ip4(value: Any) -> tuple[IPv4Address, ...]:
    if not isinstance(value, list):
        raise _InvalidError("its ip4 is not a list")
    return tuple(_host("ip4", address) for address in value)


def _host(key: str, value: Any) -> IPv4Address:
    try:
        address = IPv4Address(_text(key, value))
    except ValueError:
        raise _InvalidError(f"its {key} is not an IPv4 address") from None
    if address.is_unspecified or address.is_loopback or address.is_multicast or address.is_reserved:
        raise _InvalidError(f"its {key} {address} is not the address of a host")
    return address


def _ip6(value: Any) -> IPv6Address | None:
    if value is None:
        return None
    try:
        address = IPv6Address(_text("ip6", value))
    except ValueError:
        raise _InvalidError("its ip6 is not an IPv6 address") from None
    if address.scope_id or address.is_unspecified or address.is_loopback or address.is_multicast:
        raise _InvalidError("its ip6 is not the address of a host")
    return address


def _mtu(value: Any) -> int | None:
    if value is None:
        return None
    if type(value) is not int or not MIN_MTU <= value <= MAX_IP_BYTES:
        raise _InvalidError(f"its mtu is not a number from {MIN_MTU} to {MAX_IP_BYTES}")
    return value


def _routes(value: Any) -> tuple[IPv4Network | IPv6Network, ...]:
    if not isinstance(value, list):
        raise _InvalidError("its routes are not a list")
    return tuple(dict.fromkeys(_route(route) for route in value))


def _route(value: Any) -> IPv4Network | IPv6Network:
    try:
        route = ip_network(_text("route", value))
    except ValueError:
        raise _InvalidError("one of its routes is not a network such as 192.0.2.0/24") from None
    if isinstance(route, IPv6Network) and route.network_address.scope_id:
        raise _InvalidError("one of its routes names an interface")
    return route


def _name(value: Any) -> str:
    name = _text("name", value)
    if len(name) > MAX_NAME_CHARACTERS or not name.isprintable():
        raise _InvalidError(f"its name is longer than {MAX_NAME_CHARACTERS} characters or not printable")
    return name


def _version(value: Any) -> str:
    if value is None:
        return ""
    version = _text("version", value)
    if not VERSION.fullmatch(version):
        raise _InvalidError("its version is not one such as 1.2.3")
    return version


def _exit(value: Any) -> ExitOffer | None:
    try:
        return exitoffer.decode_untrusted(value)
    except ValueError as error:
        raise _InvalidError(f"its exit {error}") from None


def _multicast(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise _InvalidError("its multicast is not a list")
    try:
        return stated_untrusted([_text("multicast", word) for word in value])
    except ValueError:
        raise _InvalidError("its multicast names too many groups, or overlong ones") from None


def _flag(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _InvalidError(f"its {key} is not true or false")
    return value


def _text(key: str, value: Any) -> str:
    """Refuses other types: ipaddress takes numbers too, and would turn `1` into 0.0.0.1."""
    if not isinstance(value, str):
        raise _InvalidError(f"its {key} is not text")
    return value
