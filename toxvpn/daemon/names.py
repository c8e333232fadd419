"""The names of a run's VPN: who its members are, and when they may have changed.

In: the router's peers with what they call themselves, the names that the person here has given them, and
[vpn] as it is in force. Neighbour: names/, which keeps the names where programs look them up.
"""

import asyncio
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from ..config.vpn import VpnSection
from ..members.roster import Roster
from ..names.zone import Address, Zone, ZoneMember
from ..tun.host.namespace import HERE
from ..tun.router import NetworkPeer
from ..tun.vpn import Vpn
from ..usernet.names import SERVER
from .node import RunningNode

if TYPE_CHECKING:
    from ..names.keeper import NamedLink, NameKeeper


class VpnNames:
    """`apply` puts a section in force, first or anew; needs a running loop. Then `close`, once."""

    def __init__(self, run: RunningNode, vpn: Vpn, roster: Roster) -> None:
        self._run = run
        self._vpn = vpn
        self._roster = roster
        self._section = VpnSection()
        self._names: NameKeeper | None = None
        self._ended: list[asyncio.Task[None]] = []
        run.node.subscribe(self._refresh)
        run.own_status.on_change = roster.members.on_peers = self._refresh

    def apply(self, section: VpnSection) -> None:
        self._section = section
        if self._names is None and section.has_names:
            from ..names.keeper import NameKeeper  # takes a while, which a run without names saves

            namespace = self._vpn.namespace
            self._names = NameKeeper(
                self._members,
                self._link,
                self._vpn.network,
                section.interface,
                namespace.socket,
                on_host=namespace is HERE,
            )
        elif self._names is not None and not section.has_names:
            self._ended.append(asyncio.get_running_loop().create_task(self._names.close()))
            self._names = None
        if self._names is not None:
            self._names.keep_hosts(section.hosts)

    async def close(self) -> None:
        self._run.node.unsubscribe(self._refresh)
        self._run.own_status.on_change = self._roster.members.on_peers = lambda: None
        if self._names is not None:
            await self._names.close()
        await asyncio.gather(*self._ended)

    # -- for `status`

    @property
    def zone(self) -> Zone:
        return Zone() if self._names is None else self._names.zone

    @property
    def drops(self) -> dict[str, int]:
        return {} if self._names is None else {str(why): count for why, count in self._names.drops.items()}

    def problem(self, public_key: bytes) -> str | None:
        return None if self._names is None else self._names.problem(public_key)

    # -- what the names are made of

    def _refresh(self, _: object = None) -> None:
        if self._names is not None:
            self._names.refresh()

    def _link(self) -> "NamedLink":
        from ..names.keeper import NamedLink

        vpn = self._vpn
        addresses = self._own(vpn.router.own)
        if vpn.namespace is not HERE:  # where commands ask it at the address in their resolv.conf
            addresses = (*addresses, SERVER)
        return NamedLink(vpn.interface, vpn.index, addresses)

    def _own(self, ipv4: tuple[IPv4Address, ...]) -> tuple[Address, ...]:
        return ipv4 if self._vpn.ipv6 is None else (self._vpn.ipv6, *ipv4)

    def _members(self) -> list[ZoneMember]:
        own_key, router = self._run.node.tox.public_key, self._vpn.router
        own = ZoneMember(own_key, None, self._section.stated_name, self._own(router.own[:1]))
        given = {key: peer.name for key, peer in self._roster.peers().items()}
        return [own, *(self._member(each, given.get(each.peer.public_key)) for each in router.peers)]

    def _member(self, peer: NetworkPeer, given: str | None) -> ZoneMember:
        addresses: tuple[Address, ...] = () if peer.ipv4 is None else (peer.ipv4,)
        if peer.has_ipv6 and self._vpn.ipv6 is not None:
            addresses = (peer.ipv6, *addresses)
        return ZoneMember(peer.peer.public_key, given, peer.name, addresses)
