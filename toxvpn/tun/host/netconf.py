"""Gives interfaces their addresses, routes and rules through rtnetlink, and undoes every change.

In: what an interface should have; out: the kernel's tables, and a journal in case we are killed. Leaving the
`with` block undoes everything, the last change first, also after a failure half-way. `missing` finds what
other programs have removed meanwhile, `restore` puts it back. An interface is known by its first name here,
also after somebody has renamed it. Neighbours: `changes` (the kinds of change), `journal`, `kernel`, `device`
(which makes the interface).

    with NetworkChanges(path) as network:  # first undoes what a killed process left
        network.set_mtu("tox0", 1368)
        network.add_address("tox0", IPv4Interface("100.64.3.2/32"))
"""

import asyncio
import errno
import logging
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_network,
)
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ...errors import ToxvpnError
from ...names.hosts import HostsBlock, put_block
from .changes import (
    MAIN_TABLE,
    AddressAdded,
    Change,
    Interface,
    LinkSet,
    LinkUp,
    NftTable,
    RouteAdded,
    RuleAdded,
    SysctlSet,
    UnreachableAdded,
    kernel_keys,
    link,
    read_sysctl,
)
from .journal import Journal
from .kernel import KernelTables, Link, read_tables
from .namespace import HERE, Namespace
from .netlink import Netlink
from .pyroute import NetlinkError

log = logging.getLogger("toxvpn.tun")

INTERFACE_CHANGES = (AddressAdded, RouteAdded, LinkSet, LinkUp)
HEALED = AddressAdded | RouteAdded | UnreachableAdded | RuleAdded | SysctlSet | NftTable
"""What is put back when somebody has taken it away."""


class NetworkChanges:
    """Changes that last as long as the `with` block.

    Construction with the path of a journal first undoes what a killed process left there (`recovered` counts
    it); it raises NetworkBusyError while another process holds that journal. Without a path nothing is undone
    after a kill: for a network namespace that ends with its process. The methods raise ToxvpnError, or its
    NoPermissionError; earlier changes are then still undone at the end of the block.

    What `keep` says yes to stays, and in the journal, when everything else is undone: then and at the end.
    """

    def __init__(
        self,
        journal_path: Path | None = None,
        namespace: Namespace = HERE,
        keep: Callable[[Change], bool] = lambda change: False,
    ) -> None:
        self._closed = False
        self._keep = keep
        self._journal = Journal(journal_path) if journal_path else None
        self._changes: list[Change] = self._journal.changes if self._journal else []
        self._indices: dict[str, int] = {}
        self._listed: dict[NftTable, str | None] = {}
        try:
            self._net = Netlink(namespace)
        except BaseException:
            self._close_journal()
            raise
        self.recovered = sum(not keep(change) for change in self._changes)
        if self.recovered:
            log.info("undoing %d changes that an earlier run left in the network", self.recovered)
            self.undo()

    def set_mtu(self, interface: str, mtu: int) -> None:
        self._set_link(interface, "mtu", mtu)

    def set_queue_length(self, interface: str, packets: int) -> None:
        """Sets how many packets may wait to be read from the interface (a TUN's default is 500)."""
        self._set_link(interface, "txqlen", packets)

    def forgo_link_local(self, interface: str) -> None:
        """Lets the interface come up without a link-local address."""
        family = ["AF_INET6", {"attrs": [["IFLA_INET6_ADDR_GEN_MODE", 1]]}]  # linux/if_link.h: …_MODE_NONE
        index = self.index(interface)
        with suppress(ToxvpnError):  # there is no IPv6
            self._net.change(
                f"set {interface}'s kind of addresses",
                lambda route: route.link("set", index=index, IFLA_AF_SPEC={"attrs": [family]}),
            )

    def link_up(self, interface: str) -> None:
        found = self._link(interface)
        if not found.up:
            self._apply(LinkUp(Interface(found.name, found.index)))

    def add_address(self, interface: str, address: IPv4Interface | IPv6Interface) -> None:
        self._apply(AddressAdded(self._interface(interface), str(address)))

    def remove_address(self, interface: str, address: IPv4Interface | IPv6Interface) -> None:
        """Removes an address that was added here; does nothing for another one."""
        for change in self._changes.copy():
            if (
                isinstance(change, AddressAdded)
                and change.interface.index == self._indices.get(interface)
                and change.address == str(address)
            ):
                self._undo(change)

    def add_route(
        self,
        interface: str,
        destination: IPv4Network | IPv6Network,
        *,
        gateway: IPv4Address | IPv6Address | None = None,
        table: int = MAIN_TABLE,
        metric: int | None = None,
        source: IPv4Address | IPv6Address | None = None,
    ) -> None:
        via = str(gateway) if gateway else None
        preferred = str(source) if source else None
        found = self._interface(interface)
        self._apply(RouteAdded(found, str(destination), via, table, metric, preferred))

    def make_unreachable(self, destination: IPv4Network | IPv6Network, metric: int) -> None:
        """What no other route takes is refused by the kernel; a lower metric goes before."""
        self._apply(UnreachableAdded(str(destination), metric))

    def remove_unreachable(self, destination: IPv4Network | IPv6Network) -> None:
        """Lets it be reached by other routes again."""
        for change in self._changes.copy():
            if isinstance(change, UnreachableAdded) and change.destination == str(destination):
                self._undo(change)

    def remove_route(self, interface: str, destination: IPv4Network | IPv6Network) -> None:
        """Removes the routes to `destination` that were added here, if any."""
        for change in self._changes.copy():
            if (
                isinstance(change, RouteAdded)
                and change.interface.index == self._indices.get(interface)
                and change.destination == str(destination)
            ):
                self._undo(change)

    def add_rule(
        self,
        priority: int,
        table: int,
        source: IPv4Network | IPv6Network,
        mark: int | None = None,
        destination: IPv4Network | IPv6Network | None = None,
        *,
        inverted: bool = False,
        no_default: bool = False,
    ) -> None:
        """For the arguments see RuleAdded."""
        to = None if destination is None else str(destination)
        self._apply(RuleAdded(priority, table, str(source), mark, to, inverted, no_default))

    def remove_rule(
        self,
        priority: int,
        table: int,
        source: IPv4Network | IPv6Network,
        destination: IPv4Network | IPv6Network,
    ) -> None:
        """Removes such a rule if it was added here."""
        words = priority, table, str(source), str(destination)
        for change in self._changes.copy():
            if (
                isinstance(change, RuleAdded)
                and (change.priority, change.table, change.source, change.destination) == words
            ):
                self._undo(change)

    def read_sysctl(self, key: str) -> str | None:
        """As changes.read_sysctl."""
        return read_sysctl(key, self._net.namespace)

    def set_sysctl(self, key: str, value: str) -> None:
        """`key` is a path below /proc/sys, such as net/ipv4/ip_forward."""
        previous = self.read_sysctl(key)
        if previous is None:
            raise ToxvpnError(f"this kernel has no sysctl {key}: load the module that it belongs to")
        self._apply(SysctlSet(key, value, previous))  # also if it is so already: others may set it back

    def set_table(self, family: str, name: str, content: str) -> None:
        """Loads an nftables table of ours (nftables.table_name), in place of what it was: all at once."""
        change = NftTable(family, name, content)
        earlier = self._table(family, name)
        self._apply(change)
        if earlier is not None:
            self._forget(earlier)

    def remove_table(self, family: str, name: str) -> None:
        """Removes a table that was loaded here; does nothing for another one."""
        change = self._table(family, name)
        if change is not None:
            self._undo(change)

    def _table(self, family: str, name: str) -> NftTable | None:
        tables = (change for change in self._changes if isinstance(change, NftTable))
        return next((each for each in tables if (each.family, each.name) == (family, name)), None)

    def set_hosts(self, mark: str, lines: Sequence[str]) -> None:
        """Puts the lines in a block of ours in /etc/hosts, in place of those that it had."""
        block = HostsBlock(mark)
        if block not in self._changes:
            self._apply(block)
        put_block(mark, lines)

    def remove_hosts(self, mark: str) -> None:
        """Removes the block; does nothing when it was not put there here."""
        if (block := HostsBlock(mark)) in self._changes:
            self._undo(block)

    @property
    def namespace(self) -> Namespace:
        return self._net.namespace

    def index(self, interface: str) -> int:
        return self._interface(interface).index

    def index_of(self, interface: str) -> int:
        """Of an interface that we have met, without asking the kernel; 0 for another one."""
        return self._indices.get(interface, 0)

    def name(self, interface: str) -> str:
        """Its present name."""
        return self._interface(interface).name

    # -- what other programs change

    def read_kernel(self) -> KernelTables:
        """Reads the kernel's tables."""
        return self._net.call(read_tables)

    async def read_kernel_async(self, interface: str) -> KernelTables:
        """Reads the kernel's tables, and the state of that interface; does not block the loop."""
        index, changes = self._indices.get(interface), self._changes.copy()

        def read(route: Any) -> KernelTables:
            others = (each for each in changes if isinstance(each, SysctlSet | NftTable))
            keys = frozenset(each.kernel_key for each in others if self._in_force(each))
            return replace(read_tables(route, index), others=keys)

        return await asyncio.wrap_future(self._net.submit(read))

    def destinations(self, interface: str) -> list[IPv4Network | IPv6Network]:
        """Of our routes through the interface in the main table."""
        index = self._indices.get(interface)
        routes = (change for change in self._changes if isinstance(change, RouteAdded))
        return [
            ip_network(route.destination)
            for route in routes
            if route.interface.index == index and route.table == MAIN_TABLE
        ]

    def missing(self, interface: str, tables: KernelTables) -> list[Change]:
        """Our changes that `tables` lack; of addresses and routes, those of the interface while it is up."""
        present, index = kernel_keys(tables), self._indices.get(interface)
        up = tables.link is not None and tables.link.up
        return [
            change
            for change in self._changes
            if isinstance(change, HEALED)
            and (
                not isinstance(change, AddressAdded | RouteAdded) or (up and change.interface.index == index)
            )
            and change.kernel_key not in present
        ]

    def restore(self, change: Change) -> bool:
        """Makes the change again; False when it is in force. Raises ToxvpnError when the kernel refuses."""
        if isinstance(change, SysctlSet | NftTable) and self._net.call(lambda _: self._in_force(change)):
            return False
        try:
            self._make(change)
        except ToxvpnError as error:
            if _code(error) == errno.EEXIST:
                return False
            raise
        return True

    def rename(self, interface: str, name: str) -> None:
        """Records an interface's new name, so that our changes are found under it."""
        index, old = self._indices.get(interface), interface
        for number, change in enumerate(self._changes):
            if isinstance(change, INTERFACE_CHANGES) and change.interface.index == index:
                old = change.interface.name
                self._changes[number] = replace(change, interface=Interface(name, change.interface.index))
        for number, change in enumerate(self._changes):
            if isinstance(change, SysctlSet):  # the kernel has renamed it too
                self._changes[number] = replace(change, key=change.key.replace(f"/{old}/", f"/{name}/"))
        if self._journal:
            self._journal.write()
        for change in [each for each in self._changes if isinstance(each, NftTable)]:
            content = re.sub(rf"(?<![\w.-]){re.escape(old)}(?![\w.-])", name, change.content)
            if content != change.content:
                self.set_table(change.family, change.name, content)
            else:
                self._note(change)  # it is listed with the device's new name

    def keeps(self, change: Change) -> bool:
        """Whether it stays when everything else is undone."""
        return self._keep(change)

    def undo(self) -> None:
        """Undoes every change, the last first, but those to be kept.

        What cannot be undone is logged, and stays in the journal for the next start.
        """
        for change in reversed([each for each in self._changes if not self._keep(each)]):
            try:
                self._undo(change)
            except ToxvpnError as error:
                log.warning("%s", error)

    def close(self) -> None:
        """Undoes everything. Idempotent."""
        if self._closed:
            return
        self._closed = True
        try:
            self.undo()
        finally:
            self._net.close()
            self._close_journal()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _apply(self, change: Change) -> None:
        """Applies a change. A down interface takes no routes: they are `missing` once it is up."""
        if self._journal:
            self._journal.add(change)
        else:
            self._changes.append(change)
        try:
            self._make(change)
        except ToxvpnError as error:
            if _code(error) == errno.ENETDOWN:
                return
            self._forget(change)  # refused, so not ours: undoing it could remove somebody else's
            raise

    def _make(self, change: Change) -> None:
        change.apply(self._net)
        if isinstance(change, NftTable):
            self._note(change)

    def _note(self, table: NftTable) -> None:
        """Notes what the kernel holds of the table, to notice that somebody changes it."""
        self._listed[table] = self._net.call(lambda _: table.listed(self._net))

    def _in_force(self, change: SysctlSet | NftTable) -> bool:
        """Works in the thread of the Netlink."""
        if isinstance(change, SysctlSet):
            return change.in_force(self._net)
        return change.listed(self._net) == self._listed.get(change)

    def _undo(self, change: Change) -> None:
        change.undo(self._net)
        self._forget(change)

    def _forget(self, change: Change) -> None:
        if self._journal:
            self._journal.remove(change)
        else:
            self._changes.remove(change)

    def _set_link(self, interface: str, attribute: str, value: int) -> None:
        found = self._link(interface)
        previous = getattr(found, attribute)
        if value != previous:
            self._apply(LinkSet(Interface(found.name, found.index), attribute, value, previous))

    def _interface(self, name: str) -> Interface:
        """The interface under its present name."""
        found = self._link(name)
        return Interface(found.name, found.index)

    def _link(self, name: str) -> Link:
        """The interface that has, or had when we first met it, that name. Raises ToxvpnError."""
        index = self._indices.get(name)
        found = None if index is None else link(self._net, index)
        if found is None:
            indices = self._net.call(lambda route: route.link_lookup(ifname=name))
            found = link(self._net, indices[0]) if indices else None
        if found is None:
            raise ToxvpnError(f"there is no interface {name}: it was removed or renamed; start toxvpn again")
        self._indices[name] = found.index
        return found

    def _close_journal(self) -> None:
        if self._journal:
            self._journal.close()


def _code(error: ToxvpnError) -> int | None:
    """The errno from the kernel."""
    cause = error.__cause__
    return cause.code if isinstance(cause, NetlinkError) else None
