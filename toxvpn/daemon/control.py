"""What the control socket of a run answers: its state, pings, and the end."""

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Literal

from .._native import toxcore
from .._native.net import netio
from ..control.commands import ReloadCommand, RunCommands, SecretCommand
from ..control.peer_commands import PeerCommands
from ..control.peerstates import Measured, peer_states
from ..control.server import ControlServer
from ..control.status import ForwardState, PeerState, SelfState, ShieldState
from ..errors import PeerRefusedError
from ..members.blocked import Blocked
from ..members.pending import PendingRequest
from ..members.roster import Roster
from ..report.collector import Collector
from ..report.metrics_http import served
from ..state.places import make
from ..tcpforward.tuntox.road import TuntoxRoad
from ..tox.peer import Peer
from ..tun.vpn import Vpn
from ..wire.addressing import overlay_ipv6
from .node import Base

Mode = Literal["up", "server", "client"]


class Source:
    """A `control.status.StatusSource` for every kind of run; `vpn` and `roster` where there are any."""

    def __init__(
        self,
        run: Base,
        mode: Mode,
        roster: Roster | None = None,
        vpn: Vpn | None = None,
        forwards: Callable[[], Iterable[ForwardState]] = tuple,
    ) -> None:
        self.rtt_s: dict[bytes, float] = {}
        self._run = run
        self._mode = mode
        self._roster = roster
        self._vpn = vpn
        self._forwards = forwards

    def self_state(self) -> SelfState:
        tox = self._run.node.tox
        own = SelfState(
            tox_id=tox.address.hex().upper(),
            connection=self._run.node.connection.path,
            mode=self._mode,
            shield=shield_state(),
            drops={"unheard": tox.unaccepted_packets} if tox.unaccepted_packets else {},
        )
        if self._vpn is None:
            return own
        datapath = self._vpn.datapath
        return replace(
            own,
            ipv4=self._vpn.router.own_ipv4,
            ipv6=self._vpn.ipv6,
            interface=self._vpn.interface,
            interface_up=self._vpn.up,
            refused_offload=datapath.refused,
            drops={**own.drops, **{str(reason): count for reason, count in datapath.drops.items() if count}},
        )

    def peers(self) -> Iterable[PeerState]:
        return peer_states(self._run.node, self._roster, time.time(), self._measure)

    def forwards(self) -> Iterable[ForwardState]:
        return self._forwards()

    def pending(self) -> Iterable[PendingRequest]:
        return self._roster.pending if self._roster is not None else ()

    def blocked(self) -> Iterable[Blocked]:
        return self._roster.members.blocked.values() if self._roster is not None else ()

    def _measure(self, peer: Peer) -> Measured:
        rtt_s = self.rtt_s.get(peer.public_key)
        member = self._vpn.router.peer(peer.public_key) if self._vpn is not None else None
        counters = self._vpn.router.counters(peer.public_key) if self._vpn is not None else None
        if member is None or counters is None:  # where there is a VPN, nothing of that peer's passes
            ipv6 = overlay_ipv6(peer.public_key) if self._vpn is None else None
            return Measured(ipv6=ipv6, rtt_s=rtt_s)
        return Measured(
            ipv4=member.ipv4,
            ipv6=member.ipv6,
            rx_bytes=counters.rx_bytes,
            tx_bytes=counters.tx_bytes,
            drops={reason.value: count for reason, count in counters.drops.items() if count},
            rtt_s=rtt_s,
            address_problem=member.address_problem,
        )


def shield_state() -> ShieldState | None:
    stands = netio.shield()
    if stands is None or toxcore.FLAW is None:
        return None
    return ShieldState(flaw=toxcore.FLAW.name, in_force=stands.in_force, dropped=netio.counters()["shielded"])


@contextlib.asynccontextmanager
async def controlled(
    run: Base,
    directory: Path,
    source: Source,
    tuntox: TuntoxRoad,
    roster: Roster | None = None,
    reload: Callable[[], list[str]] | None = None,
    renew: Callable[[], tuple[str, str]] | None = None,
) -> AsyncIterator[None]:
    """Serves the control socket in `directory` meanwhile, and metrics if that is wanted.

    Raises ToxvpnError when another one serves there.
    """

    async def ping(public_key: bytes) -> float:
        peer = run.node.peer(public_key)
        if peer is None:
            raise PeerRefusedError("that peer has just been removed")
        source.rtt_s[public_key] = rtt_s = await tuntox.ping(peer)
        return rtt_s

    server = ControlServer(make(directory))
    commands = RunCommands(server, source, ping, run.stopping.set)
    if roster is not None:
        PeerCommands(server, roster)
    if reload is not None:
        ReloadCommand(server, reload)
    if renew is not None:
        SecretCommand(server, renew)
    collector = Collector(source, tuntox, roster)
    server.register("metrics", collector.metrics)
    run.node.subscribe(commands.changed)
    async with served(run.metrics_port, collector.text):
        await server.start()
        try:
            yield
        finally:
            server.close()
