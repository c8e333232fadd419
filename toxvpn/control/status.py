"""The status of a run, as frozen states, and the JSON document of it that scripts rely on.

In: states, which status_reader.py reads from the run. Out: a document of schema 1; keys may be added to it,
and none will be removed or change its meaning (docs/design.md). Absent values are null, lists are sorted,
times are RFC 3339 in UTC. Neighbours: commands.py serves the document, cli/status.py prints it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING, Any, Literal

from .. import __version__
from ..members.blocked import Blocked
from ..members.pending import PendingRequest
from ..names.zone import bare_label
from ..wire.toxid import short_key

if TYPE_CHECKING:
    from ..portmap.keeper import MappingState
    from ..tcpforward.forwards import ForwardState  # which loads more than a reader of documents needs

SCHEMA = 1

DIRECT = "udp"
"""The path (`Connection.path`) that needs no relay."""

Mode = Literal["up", "server", "client"]
"""The kind of run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShieldState:
    """The protection against a flaw of libtoxcore: `dropped` counts datagrams that would have used it."""

    flaw: str
    in_force: bool
    dropped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteState:
    """A network that a peer offers; `problem`: why it is not used although somebody here asked for it."""

    network: IPv4Network | IPv6Network
    used: bool
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitState:
    """The peer through which this machine's traffic leaves.

    `blocked`: the peer cannot carry it now, so that what is not for Tox or the local network is dropped;
    `problem` says why.
    """

    peer: bytes
    blocked: bool
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfState:
    """This machine: `drops` counts packets that belong to no peer, by reason.

    `interface_up` is False when somebody has set the interface down, so that no traffic passes.
    `refused_offload` names what the kernel takes no super-packets of, e.g. TCP.
    `dns_name`: its whole name on the network. `name_problem`: why that is not the one it should have.
    `shield` is None when this libtoxcore needs none. `routes`: the networks that are offered to the peers.
    `moved`: a line for each of our addresses that is not the usual one, and why. `multicast`: the groups
    that this machine takes part in, as the configuration names them. `port_mapping`: the port that the router
    passes on to us, or why there is none; None: it is not asked. `namespace_owner`: the process whose
    namespaces the VPN is in, and commands of `toxvpn exec`; None: it is this machine's.
    """

    tox_id: str
    connection: str
    mode: Mode
    ipv4: IPv4Address | None = None
    ipv6: IPv6Address | None = None
    interface: str | None = None
    interface_up: bool | None = None
    refused_offload: tuple[str, ...] = ()
    drops: Mapping[str, int] = field(default_factory=dict)
    shield: ShieldState | None = None
    version: str = __version__
    routes: Sequence[IPv4Network | IPv6Network] = ()
    dns_name: str | None = None
    name_problem: str | None = None
    exit: ExitState | None = None
    namespace_owner: int | None = None
    moved: Sequence[str] = ()
    multicast: Sequence[str] = ()
    port_mapping: "MappingState | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerState:
    """One peer. `since` (seconds since the epoch) is when `path` last changed, `rtt_s` the last round trip.

    `loss` is the part of the latest probes that got lost on this path, 0 to 1; None: not measured. `version`:
    the toxvpn that it says it runs.

    `configured`: a person has named it; otherwise a secret or an open server let it in. `grant`: what
    lets it in, None when nothing does. `asked`: our friend request to it has not been answered.
    `address_problem`: why the IPv4 address it states is not used, and what to do about it.
    `dns_name`: its whole name on the network. `name_problem`: why that is not the one that it is called.
    `mtu`: the largest packet that a VPN may send it on this path; None while it is offline.
    `introduced`: its status message has arrived on this connection, so its addresses are in place.
    `exit`: whether it offers to be an exit, or is ours. `may_exit`: whether we are to be its exit. `allow`:
    the rules for what it may reach over the VPN; None: everything on this machine. `address_moved`: why the
    two of us meet at other addresses than the usual ones. `multicast`: the groups that both take part in.
    `via`: the friend by way of which it is reached, where `path` is "friend".
    """

    public_key: bytes
    name: str | None = None
    path: str = "none"
    via: str | None = None
    ipv4: IPv4Address | None = None
    ipv6: IPv6Address | None = None
    rx_bytes: int = 0
    tx_bytes: int = 0
    drops: Mapping[str, int] = field(default_factory=dict)
    since: float | None = None
    rtt_s: float | None = None
    configured: bool = False
    grant: str | None = None
    asked: bool = False
    address_problem: str | None = None
    mtu: int | None = None
    introduced: bool = True
    dns_name: str | None = None
    name_problem: str | None = None
    loss: float | None = None
    version: str | None = None
    routes: Sequence[RouteState] = ()
    exit: Literal["offered", "used"] | None = None
    may_exit: bool = False
    allow: Sequence[str] | None = None
    address_moved: str | None = None
    multicast: Sequence[str] = ()

    @property
    def online(self) -> bool:
        return self.path != "none"

    @property
    def direct(self) -> bool:
        return self.path == DIRECT

    @property
    def short(self) -> str:
        """Its name, or the first digits of its key."""
        return self.called or short_key(self.public_key)

    @property
    def called(self) -> str | None:
        """The name that it has here, or else on the network."""
        return self.name or (bare_label(self.dns_name) if self.dns_name else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """A run, its peers, forwards and requests at one moment; the lists are not sorted."""

    own: SelfState
    peers: Sequence[PeerState] = ()
    forwards: "Sequence[ForwardState]" = ()
    pending: Sequence[PendingRequest] = ()
    blocked: Sequence[Blocked] = ()


def document(status: RunStatus) -> dict[str, Any]:
    """The answer to `status --json`."""
    own = status.own
    return {
        "schema": SCHEMA,
        "tox_id": own.tox_id,
        "self": {
            "connection": own.connection,
            "ipv4": _text(own.ipv4),
            "ipv6": _text(own.ipv6),
            "dns_name": own.dns_name,
            "name_problem": own.name_problem,
            "interface": own.interface,
            "interface_up": own.interface_up,
            "refused_offload": list(own.refused_offload),
            "mode": own.mode,
            "drops": _sorted(own.drops),
            "shield": None if own.shield is None else asdict(own.shield),
            "version": own.version,
            "routes": [str(each) for each in own.routes],
            "exit": None if own.exit is None else _exit(own.exit),
            "namespace_owner": own.namespace_owner,
            "moved": list(own.moved),
            "multicast": list(own.multicast),
            "port_mapping": None if own.port_mapping is None else _port_mapping(own.port_mapping),
        },
        "peers": [_peer(peer) for peer in sorted(status.peers, key=order)],
        "forwards": [_forward(each) for each in sorted(status.forwards, key=lambda each: each.listen)],
        "pending": [_pending(request) for request in status.pending],
        "blocked": [_blocked(each) for each in sorted(status.blocked, key=lambda each: each.public_key)],
    }


def order(peer: PeerState) -> tuple[bool, str, bytes]:
    """Sort named peers by name, then the others by key."""
    return peer.name is None, peer.name or "", peer.public_key


def _peer(peer: PeerState) -> dict[str, Any]:
    return {
        "public_key": peer.public_key.hex().upper(),
        "name": peer.name,
        "dns_name": peer.dns_name,
        "name_problem": peer.name_problem,
        "online": peer.online,
        "path": peer.path,
        "via": peer.via,
        "ipv4": _text(peer.ipv4),
        "ipv6": _text(peer.ipv6),
        "rx_bytes": peer.rx_bytes,
        "tx_bytes": peer.tx_bytes,
        "drops": _sorted(peer.drops),
        "since": _time(peer.since),
        "rtt_seconds": None if peer.rtt_s is None else round(peer.rtt_s, 6),
        "configured": peer.configured,
        "grant": peer.grant,
        "friend_request": "sent" if peer.asked else None,
        "address_problem": peer.address_problem,
        "mtu": peer.mtu,
        "loss": None if peer.loss is None else round(peer.loss, 3),
        "version": peer.version,
        "routes": [
            {"network": str(each.network), "used": each.used, "problem": each.problem} for each in peer.routes
        ],
        "exit": peer.exit,
        "may_exit": peer.may_exit,
        "allow": None if peer.allow is None else list(peer.allow),
        "address_moved": peer.address_moved,
        "multicast": list(peer.multicast),
    }


def _exit(state: ExitState) -> dict[str, Any]:
    return {"peer": state.peer.hex().upper(), "blocked": state.blocked, "problem": state.problem}


def _port_mapping(state: "MappingState") -> dict[str, Any]:
    return {
        "router": state.gateway,
        "protocol": state.protocol,
        "endpoint": None if state.outer is None else "{}:{}".format(*state.outer),
        "problem": state.problem,
        "drops": _sorted(state.drops),
    }


def _forward(forward: "ForwardState") -> dict[str, Any]:
    return {
        "listen": forward.listen,
        "target": forward.target,
        "road": forward.road,
        "road_reason": forward.why,
        "streams": forward.streams,
        "drops": _sorted(forward.drops),
        "remote": forward.remote,
        "problem": forward.problem,
    }


def _pending(request: PendingRequest) -> dict[str, Any]:
    return {
        "public_key": request.public_key.hex().upper(),
        "first": _time(request.first),
        "last": _time(request.last),
        "times": request.times,
        "reason": request.reason,
    }


def _blocked(blocked: Blocked) -> dict[str, Any]:
    return {
        "public_key": blocked.public_key.hex().upper(),
        "name": blocked.name,
        "since": _time(blocked.since),
    }


def _text(address: IPv4Address | IPv6Address | None) -> str | None:
    return None if address is None else str(address)


def _time(moment: float | None) -> str | None:
    return None if moment is None else f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return {reason: counts[reason] for reason in sorted(counts)}
