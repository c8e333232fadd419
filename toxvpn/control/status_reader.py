"""Reads the states that `toxvpn status` shows from a run, anew for each request.

In: the node and, where the run has them, its roster, VPN and forwards. Out: a RunStatus. Neighbours:
commands.py and report/collector.py ask for it, status.py turns it into the JSON document.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from .._native import toxcore
from .._native.net import netio
from ..members.peers import ConfiguredPeer
from ..members.roster import Roster
from ..names.zone import Zone
from ..portmap.keeper import MappingKeeper
from ..tcpforward.forwards import ForwardState
from ..tox.node import Node
from ..tox.peer import Peer
from ..wire import statusmessage
from ..wire.addressing import overlay_ipv6
from ..wire.ip import vpn_mtu
from .status import ExitState, Mode, PeerState, RouteState, RunStatus, SelfState, ShieldState

if TYPE_CHECKING:
    from ..tun.vpn import Vpn


class PathQuality(Protocol):
    """The round trip to a peer, in seconds, and the part of the probes that got lost; None: unknown."""

    def rtt_s(self, public_key: bytes) -> float | None: ...
    def loss(self, public_key: bytes) -> float | None: ...


class NetworkNames(Protocol):
    """The names on the VPN (daemon/names.py); `drops` counts what its DNS server dropped."""

    @property
    def zone(self) -> Zone: ...
    @property
    def drops(self) -> Mapping[str, int]: ...
    def problem(self, public_key: bytes) -> str | None: ...


class StatusReader:
    """`read` gives the status of one run; `kept` the peers with names, for a run without a roster.

    `names` are those of the VPN. `port_mapping`: that at the router. `more_drops`: what else was dropped, by
    reason; `drops_of`: of a peer.
    """

    def __init__(
        self,
        node: Node,
        mode: Mode,
        roster: Roster | None = None,
        vpn: "Vpn | None" = None,
        forwards: Callable[[], Iterable[ForwardState]] = tuple,
        wall: Callable[[], float] = time.time,
        kept: Callable[[], Mapping[bytes, ConfiguredPeer]] = dict,
        measured: PathQuality | None = None,
        names: NetworkNames | None = None,
        more_drops: Callable[[], Mapping[str, int]] = dict,
        drops_of: Callable[[Peer], Mapping[str, int]] = lambda _: {},
        port_mapping: MappingKeeper | None = None,
    ) -> None:
        self._node = node
        self._mode = mode
        self._roster = roster
        self._vpn = vpn
        self._forwards = forwards
        self._wall = wall
        self._kept = kept
        self._measured = measured
        self._names = names
        self._more_drops = more_drops
        self._drops_of = drops_of
        self._port_mapping = port_mapping

    def read(self) -> RunStatus:
        roster = self._roster
        configured = self._kept() if roster is None else roster.peers()
        return RunStatus(
            own=self._own(),
            peers=[self._peer(peer, configured.get(peer.public_key)) for peer in self._node],
            forwards=list(self._forwards()),
            pending=[] if roster is None else roster.pending,
            blocked=[] if roster is None else list(roster.members.blocked.values()),
        )

    def _own(self) -> SelfState:
        tox, vpn = self._node.tox, self._vpn
        own = SelfState(
            tox_id=tox.address.hex().upper(),
            connection=self._node.connection.path,
            mode=self._mode,
            port_mapping=None if self._port_mapping is None else self._port_mapping.state,
            shield=shield_state(),
            drops={"unheard": tox.unaccepted_packets} if tox.unaccepted_packets else {},
        )
        if vpn is None:
            return own
        drops = {str(reason): count for reason, count in vpn.datapath.drops.items() if count}
        return replace(
            own,
            ipv4=vpn.router.own_ipv4,
            ipv6=vpn.ipv6,
            interface=vpn.interface,
            interface_up=vpn.up,
            moved=[vpn.moved] if vpn.moved else [],
            namespace_owner=vpn.namespace.owner,
            refused_offload=vpn.datapath.refused,
            routes=vpn.subnets.advertised,
            exit=exit_state(vpn),
            multicast=vpn.multicast.groups,
            drops={**own.drops, **drops, **(self._names.drops if self._names else {}), **self._more_drops()},
            **self._named(tox.public_key),
        )

    def _named(self, public_key: bytes) -> dict[str, Any]:
        names = self._names
        if names is None:
            return {}
        return {"dns_name": names.zone.full_name(public_key), "name_problem": names.problem(public_key)}

    def _peer(self, peer: Peer, configured: ConfiguredPeer | None) -> PeerState:
        key, roster = peer.public_key, self._roster
        grant = None if roster is None else roster.grant(key)
        state = PeerState(
            public_key=key,
            name=None if configured is None else configured.name,
            path=peer.path,
            via=None if peer.via is None else self._node.called(peer.via),
            since=self._wall() - (self._node.now() - peer.changed_s),
            rtt_s=self._measured.rtt_s(key) if self._measured and peer.online else None,
            loss=self._measured.loss(key) if self._measured else None,
            configured=configured is not None or roster is None,  # a client has no peer but the one it calls
            grant=None if grant is None else grant.value,
            asked=roster is not None and roster.is_asked(key),
            mtu=vpn_mtu(peer.packet_bytes) if peer.online else None,
            introduced=peer.status_text is not None,
            version=version_of(peer),
            drops={**peer.drops, **self._drops_of(peer)},
        )
        if self._vpn is None:  # the address that its key gives it on every VPN
            return replace(state, ipv6=overlay_ipv6(key))
        member, counters = self._vpn.router.peer(key), self._vpn.router.counters(key)
        if member is None or counters is None:  # it is not on the network
            return state
        return replace(
            state,
            ipv4=member.ipv4,
            ipv6=member.ipv6,
            rx_bytes=counters.rx_bytes,
            tx_bytes=counters.tx_bytes,
            drops={
                **state.drops,
                **{reason.value: count for reason, count in counters.drops.items() if count},
            },
            address_problem=member.address_problem,
            multicast=self._vpn.multicast.shared(member),
            address_moved=self._vpn.peer_moved(member),
            exit=self._vpn.exits.role_of(peer),
            may_exit=self._vpn.exits.may(key),
            routes=[
                RouteState(network=each.network, used=each.used, problem=each.problem)
                for each in self._vpn.subnets.of(key)
            ],
            **self._named(key),
            allow=self._vpn.filters.lines(key),
        )


def exit_state(vpn: "Vpn") -> ExitState | None:
    client = vpn.exits.client
    if client is None:
        return None
    return ExitState(peer=client.public_key, blocked=client.problem is not None, problem=client.problem)


def version_of(peer: Peer) -> str | None:
    """The version of toxvpn that the peer says it runs."""
    stated = None if peer.status_text is None else statusmessage.decode(peer.status_text).toxvpn
    return (stated.version or None) if stated else None


def shield_state() -> ShieldState | None:
    """The state of the shield; None when this libtoxcore needs none."""
    shield = netio.shield()
    if shield is None or toxcore.FLAW is None:
        return None
    return ShieldState(flaw=toxcore.FLAW.name, in_force=shield.in_force, dropped=netio.counters()["shielded"])
