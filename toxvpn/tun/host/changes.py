"""The kinds of change to the host's network, each with its undo.

In: a Netlink; out: the kernel's tables changed. A change is a plain value that is kept in the journal as
JSON. Undoing works also when the thing, or its whole interface, is already gone, and it removes only what is
ours: routes and rules carry our protocol number; an address or a link setting counts only while the interface
has the index *and* the name that we saw.
"""

import re
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass
from ipaddress import ip_network
from typing import Any, ClassVar, Protocol

from ...errors import ToxvpnError
from ...names.hosts import HostsBlock
from . import nftables
from .kernel import GONE, KernelTables, Link, read_link
from .namespace import HERE, Namespace
from .netlink import Netlink
from .pyroute import NetlinkError

PROTOCOL = 116  # 't': marks our routes and rules (`ip route` shows "proto 116")
MAIN_TABLE = 254
_IFA_F_NODAD = 0x02
RTN_UNREACHABLE = 7  # linux/rtnetlink.h
_FIB_RULE_INVERT = 0x02
_SYSCTL_KEY = re.compile(
    r"net/ipv4/ip_forward"
    r"|net/ipv4/conf/(?!\.\.?/)[^/\s]{1,15}/(forwarding|rp_filter|src_valid_mark)"
    r"|net/ipv6/conf/(?!\.\.?/)[^/\s]{1,15}/(forwarding|accept_ra|disable_ipv6)"
)
"""The sysctls that we read and set; the part before the last is an interface, `all` or `default`."""
_SYSCTL_VALUE = re.compile(r"[0-9]{1,10}")
_IPV6_METRIC = 1024  # of a route without a metric

KernelKey = tuple[int | str | None, ...]
"""Identifies something of ours in the kernel; an address's or a route's begins with its interface's index."""


class Change(Protocol):
    kind: ClassVar[str]

    def apply(self, net: Netlink) -> None:
        """Raises ToxvpnError when the kernel refuses."""

    def undo(self, net: Netlink) -> None:
        """Does nothing when nothing of ours is left; raises ToxvpnError when the kernel refuses."""


@dataclass(frozen=True, slots=True)
class Interface:
    name: str
    index: int

    def present(self, net: Netlink) -> bool:
        """Whether this interface still exists: an index may be used again under another name."""
        found = link(net, self.index)
        return found is not None and found.name == self.name


@dataclass(frozen=True, slots=True)
class AddressAdded:
    """An interface's `address` with its prefix length, such as 100.64.3.2/32."""

    kind: ClassVar[str] = "address"
    interface: Interface
    address: str

    def apply(self, net: Netlink) -> None:
        what = f"give {self.interface.name} the address {self.address}"
        # no duplicate address detection: a TUN's link has no other hosts, and it delays the first packet
        flags = {"flags": _IFA_F_NODAD} if ":" in self.address else {}
        net.change(what, lambda route: route.addr("add", **self._spec(), **flags))

    def undo(self, net: Netlink) -> None:
        if self.interface.present(net):
            _undo(net, f"remove the address {self.address}", lambda route: route.addr("del", **self._spec()))

    @property
    def kernel_key(self) -> KernelKey:
        return self.interface.index, self.address

    def _spec(self) -> dict[str, Any]:
        host, _, length = self.address.partition("/")
        return {"index": self.interface.index, "address": host, "prefixlen": int(length)}


@dataclass(frozen=True, slots=True)
class RouteAdded:
    """A route to `destination` (a network) through an interface, optionally via a gateway."""

    kind: ClassVar[str] = "route"
    interface: Interface
    destination: str
    gateway: str | None = None
    table: int = MAIN_TABLE
    metric: int | None = None
    source: str | None = None

    def apply(self, net: Netlink) -> None:
        what = f"add the route {self.destination} through {self.interface.name}"
        net.change(what, lambda route: route.route("add", **self._spec()))

    def undo(self, net: Netlink) -> None:
        if self.interface.present(net):
            what = f"remove the route {self.destination}"
            _undo(net, what, lambda route: route.route("del", **self._spec()))

    @property
    def kernel_key(self) -> KernelKey:
        usual = _IPV6_METRIC if ":" in self.destination else None
        metric = usual if self.metric is None else self.metric
        return self.interface.index, self.destination, self.table, metric

    def _spec(self) -> dict[str, Any]:
        spec = {
            "dst": self.destination,
            "oif": self.interface.index,
            "table": self.table,
            "proto": PROTOCOL,
            "family": _family(self.destination),
        }
        optional = {"gateway": self.gateway, "priority": self.metric, "prefsrc": self.source}
        return spec | {name: value for name, value in optional.items() if value is not None}


@dataclass(frozen=True, slots=True)
class UnreachableAdded:
    """A route by which the kernel refuses what is for `destination` (a network), where no better one is.

    It needs no interface, and so is there while ours is not: after a kill, until the next start.
    """

    kind: ClassVar[str] = "unreachable"
    destination: str
    metric: int

    def apply(self, net: Netlink) -> None:
        """Also when there is such a route already: of a run whose journal is gone, or of another VPN here."""
        what = f"make {self.destination} unreachable"
        net.change(what, lambda route: route.route("replace", **self._spec()))

    def undo(self, net: Netlink) -> None:
        what = f"leave {self.destination} to other routes"
        _undo(net, what, lambda route: route.route("del", **self._spec()))

    @property
    def kernel_key(self) -> KernelKey:
        return self.kind, self.destination, MAIN_TABLE, self.metric

    def _spec(self) -> dict[str, Any]:
        return {
            "dst": self.destination,
            "type": RTN_UNREACHABLE,
            "table": MAIN_TABLE,
            "proto": PROTOCOL,
            "priority": self.metric,
            "family": _family(self.destination),
        }


@dataclass(frozen=True, slots=True)
class RuleAdded:
    """A policy rule: packets from `source` to `destination` (networks), with `mark`, are for `table`.

    `inverted`: all the others are. `no_default`: a default route there does not count.
    """

    kind: ClassVar[str] = "rule"
    priority: int
    table: int
    source: str
    mark: int | None = None
    destination: str | None = None
    inverted: bool = False
    no_default: bool = False

    def apply(self, net: Netlink) -> None:
        what = f"add the rule for packets {self._selector}"
        net.change(what, lambda route: route.rule("add", **self._spec()))

    def undo(self, net: Netlink) -> None:
        what = f"remove the rule for packets {self._selector}"
        _undo(net, what, lambda route: route.rule("del", **self._spec()))

    @property
    def kernel_key(self) -> KernelKey:
        return self.kind, self.priority, self.table, self.source, self.destination

    @property
    def _selector(self) -> str:
        to = "" if self.destination is None else f" to {self.destination}"
        return f"from {self.source}{to}"

    def _spec(self) -> dict[str, Any]:
        network = ip_network(self.source)
        spec: dict[str, Any] = {
            "family": _family(self.source),
            "priority": self.priority,
            "table": self.table,
            "protocol": PROTOCOL,
        }
        if network.prefixlen:
            spec |= {"src": str(network.network_address), "src_len": network.prefixlen}
        if self.mark is not None:
            spec["fwmark"] = self.mark
        if self.destination is not None:
            to = ip_network(self.destination)
            spec |= {"dst": str(to.network_address), "dst_len": to.prefixlen}
        if self.inverted:
            spec["flags"] = _FIB_RULE_INVERT
        if self.no_default:
            spec["suppress_prefixlen"] = 0
        return spec


@dataclass(frozen=True, slots=True)
class LinkSet:
    """A number that every interface has: `attribute` is "mtu", or "txqlen" (packets that may wait)."""

    kind: ClassVar[str] = "link-set"
    interface: Interface
    attribute: str
    value: int
    previous: int

    def apply(self, net: Netlink) -> None:
        self._set(net, self.value)

    def undo(self, net: Netlink) -> None:
        if self.interface.present(net):
            self._set(net, self.previous)

    def _set(self, net: Netlink, value: int) -> None:
        what = f"set the {self.attribute} of {self.interface.name} to {value}"
        setting = {self.attribute: value}
        net.change(what, lambda route: route.link("set", index=self.interface.index, **setting))


@dataclass(frozen=True, slots=True)
class LinkUp:
    """An interface that is set up."""

    kind: ClassVar[str] = "link"
    interface: Interface

    def apply(self, net: Netlink) -> None:
        self._set(net, "up")

    def undo(self, net: Netlink) -> None:
        if self.interface.present(net):
            self._set(net, "down")

    def _set(self, net: Netlink, state: str) -> None:
        what = f"set {self.interface.name} {state}"
        net.change(what, lambda route: route.link("set", index=self.interface.index, state=state))


@dataclass(frozen=True, slots=True)
class SysctlSet:
    """A sysctl's value; `key` is a path below /proc/sys that _SYSCTL_KEY allows, such as net/ipv4/ip_forward.

    Raises ValueError on another key, and on a value that is not a number: a journal is not trusted.
    """

    kind: ClassVar[str] = "sysctl"
    key: str
    value: str
    previous: str

    def __post_init__(self) -> None:
        _sysctl(self.key)
        for value in (self.value, self.previous):
            if not _SYSCTL_VALUE.fullmatch(value):
                raise ValueError(f"{value!r} is not a number: the sysctl {self.key} takes numbers only")

    def apply(self, net: Netlink) -> None:
        self._write(net, self.value)

    def undo(self, net: Netlink) -> None:
        # it may be gone with its interface, or set by another program since
        if read_sysctl(self.key, net.namespace) == self.value:
            self._write(net, self.previous)

    @property
    def kernel_key(self) -> tuple[str, ...]:
        return self.kind, self.key

    def in_force(self, net: Netlink) -> bool:
        """Also when it is gone with its interface."""
        return read_sysctl(self.key, net.namespace) in (self.value, None)

    def _write(self, net: Netlink, value: str) -> None:
        try:
            net.namespace.write_sysctl(_sysctl(self.key), value)
        except OSError as error:
            message = f"cannot set the sysctl {self.key} to {value}: {error.strerror}"
            raise ToxvpnError(message) from error


@dataclass(frozen=True, slots=True)
class NftTable:
    """An nftables table of ours; `content` is what stands between its braces.

    Raises ValueError on a name that is not ours: a journal is not trusted.
    """

    kind: ClassVar[str] = "nft-table"
    family: str
    name: str
    content: str

    def __post_init__(self) -> None:
        nftables.check_table(self.family, self.name)

    def apply(self, net: Netlink) -> None:
        net.call(lambda route: nftables.load(self.family, self.name, self.content, net.namespace.nft))

    @property
    def kernel_key(self) -> tuple[str, ...]:
        return self.kind, self.family, self.name

    def listed(self, net: Netlink) -> str | None:
        """What the kernel holds of it, to be compared; None when there is no such table."""
        return nftables.listed(self.family, self.name, net.namespace.nft)

    def undo(self, net: Netlink) -> None:
        net.call(lambda route: nftables.remove(self.family, self.name, net.namespace.nft))


KINDS: dict[str, Callable[..., Change]] = {
    kind.kind: kind
    for kind in (
        AddressAdded,
        RouteAdded,
        UnreachableAdded,
        RuleAdded,
        LinkSet,
        LinkUp,
        SysctlSet,
        NftTable,
        HostsBlock,
    )
}


def kernel_keys(tables: KernelTables) -> set[KernelKey]:
    """The keys of all addresses, of the routes and rules with our protocol number, and of `others`."""
    keys: set[KernelKey] = set(tables.addresses)
    for route in tables.routes:
        if route.protocol == PROTOCOL and route.kind == RTN_UNREACHABLE:
            keys.add((UnreachableAdded.kind, route.destination, route.table, route.metric))
        elif route.protocol == PROTOCOL:
            keys |= {(index, route.destination, route.table, route.metric) for index in route.interfaces}
    ours = (rule for rule in tables.rules if rule.protocol == PROTOCOL)
    return (
        keys
        | {(RuleAdded.kind, rule.priority, rule.table, rule.source, rule.destination) for rule in ours}
        | tables.others
    )


def to_json(change: Change) -> dict[str, Any]:
    return {"kind": change.kind} | asdict(change)  # type: ignore[call-overload,no-any-return]


def from_json(record: dict[str, Any]) -> Change:
    """Raises AttributeError, KeyError, TypeError or ValueError on a record that `to_json` did not make."""
    fields = {name: value for name, value in record.items() if name != "kind"}
    if "interface" in fields:
        fields["interface"] = Interface(**fields["interface"])
    return KINDS[record["kind"]](**fields)


def read_sysctl(key: str, namespace: Namespace = HERE) -> str | None:
    """The present value; None when the kernel has no such sysctl. Raises ValueError as SysctlSet does."""
    try:
        return namespace.read_sysctl(_sysctl(key)).strip()
    except FileNotFoundError:
        return None


def link(net: Netlink, index: int) -> Link | None:
    """The interface as it is now; None when no interface has that index."""
    return net.call(lambda route: read_link(route, index))


def _undo(net: Netlink, what: str, function: Callable[[Any], object]) -> None:
    try:
        net.change(what, function)
    except ToxvpnError as error:
        if not (isinstance(error.__cause__, NetlinkError) and error.__cause__.code in GONE):
            raise


def _family(network: str) -> int:
    return int(socket.AF_INET6 if ":" in network else socket.AF_INET)


def _sysctl(key: str) -> str:
    if not _SYSCTL_KEY.fullmatch(key):
        raise ValueError(f"{key!r} is not a sysctl that toxvpn may read or set")
    return key
