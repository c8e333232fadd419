"""Gives interfaces their addresses, routes and rules through rtnetlink, each change with its undo.

In: what an interface shall have; out: the kernel's tables, and a journal for the case that we are
killed. Leaving the `with` block undoes everything, last change first, also after a failure half-way.
What others take away of it while it lasts, `missing` finds and `restore` puts back. An interface is
meant by the name that it had when it was first spoken of, also after somebody has renamed it.
Neighbours: `changes` (the kinds of change), `journal`, `kernel`, `device` (where the interface comes from).

    recover(path)                            # what a killed process left
    with NetworkChanges(path) as network:
        network.set_mtu("tox0", 1368)
        network.add_address("tox0", IPv4Interface("100.64.3.2/32"))
"""

import asyncio
import errno
import logging
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pyroute2.netlink.exceptions import NetlinkError

from ..errors import ToxvpnError
from .changes import (
    MAIN_TABLE,
    AddressAdded,
    Change,
    Interface,
    LinkSet,
    LinkUp,
    RouteAdded,
    RuleAdded,
    SysctlSet,
    is_up,
    link,
    read_sysctl,
    traces,
)
from .journal import Journal
from .kernel import Kernel, read
from .netlink import Netlink

logger = logging.getLogger("toxvpn.tun")

OF_INTERFACES = (AddressAdded, RouteAdded, LinkSet, LinkUp)


class NetworkChanges:
    """Changes that last as long as the `with` block.

    Made with the path of a journal, it first undoes what a killed process left there (`recovered`
    counts it), and raises NetworkBusyError when a living one holds it. Without a path nothing
    outlives a kill: for a network namespace that ends with its process. The methods raise
    ToxvpnError, NoPermissionError among them, and leave what was changed so far to the block's end.
    """

    def __init__(self, journal_path: Path | None = None) -> None:
        self._closed = False
        self._journal = Journal(journal_path) if journal_path else None
        self._changes: list[Change] = self._journal.changes if self._journal else []
        self._indices: dict[str, int] = {}
        try:
            self._net = Netlink()
        except BaseException:
            self._close_journal()
            raise
        self.recovered = len(self._changes)
        if self._changes:
            logger.info("undoing %d changes that an earlier run left in the network", self.recovered)
            self.undo()

    def set_mtu(self, interface: str, mtu: int) -> None:
        self._set_link(interface, "mtu", mtu)

    def set_queue_length(self, interface: str, packets: int) -> None:
        """How many packets may wait to be read from the interface (a TUN's default is 500)."""
        self._set_link(interface, "txqlen", packets)

    def link_up(self, interface: str) -> None:
        found, attributes = self._interface(interface)
        if not is_up(attributes):
            self._make(LinkUp(found))

    def add_address(self, interface: str, address: IPv4Interface | IPv6Interface) -> None:
        self._make(AddressAdded(self._interface(interface)[0], str(address)))

    def remove_address(self, interface: str, address: IPv4Interface | IPv6Interface) -> None:
        """Takes back an address added here; nothing when it was not."""
        for change in self._changes.copy():
            if (
                isinstance(change, AddressAdded)
                and change.interface.index == self._indices.get(interface)
                and change.address == str(address)
            ):
                self._take_back(change)

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
        found = self._interface(interface)[0]
        self._make(RouteAdded(found, str(destination), via, table, metric, preferred))

    def remove_route(self, interface: str, destination: IPv4Network | IPv6Network) -> None:
        """Takes back the routes to `destination` added here; nothing when there are none."""
        for change in self._changes.copy():
            if (
                isinstance(change, RouteAdded)
                and change.interface.index == self._indices.get(interface)
                and change.destination == str(destination)
            ):
                self._take_back(change)

    def add_rule(
        self, priority: int, table: int, source: IPv4Network | IPv6Network, mark: int | None = None
    ) -> None:
        self._make(RuleAdded(priority, table, str(source), mark))

    def set_sysctl(self, key: str, value: str) -> None:
        """`key` as a path below /proc/sys, such as net/ipv4/ip_forward."""
        previous = read_sysctl(key)
        if previous is None:
            raise ToxvpnError(f"This kernel has no sysctl {key}: load the module it belongs to.")
        if previous != value:
            self._make(SysctlSet(key, value, previous))

    def index(self, interface: str) -> int:
        return self._interface(interface)[0].index

    # -- what others do to it

    def look(self, interface: str | None = None) -> Kernel:
        """What the kernel has now, of that interface too."""
        return self._net.call(partial(read, index=self._indices.get(interface or "")))

    async def look_aside(self, interface: str) -> Kernel:
        """The same, without stopping the loop."""
        return await asyncio.wrap_future(self._net.submit(partial(read, index=self._indices.get(interface))))

    def missing(self, interface: str, kernel: Kernel) -> list[Change]:
        """Our addresses and routes of the interface that the kernel lacked when it was looked at."""
        there, index = traces(kernel), self._indices.get(interface)
        return [
            change
            for change in self._changes
            if isinstance(change, AddressAdded | RouteAdded)
            and change.interface.index == index
            and change.trace not in there
        ]

    def restore(self, change: Change) -> bool:
        """Puts it back; False when it is there. Raises ToxvpnError: the kernel refuses."""
        try:
            change.apply(self._net)
        except ToxvpnError as error:
            if _code(error) == errno.EEXIST:
                return False
            raise
        return True

    def rename(self, interface: str, name: str) -> None:
        """Somebody has given it another name: what is recorded must be found under that one."""
        index = self._indices.get(interface)
        for number, change in enumerate(self._changes):
            if isinstance(change, OF_INTERFACES) and change.interface.index == index:
                self._changes[number] = replace(change, interface=Interface(name, change.interface.index))
        if self._journal:
            self._journal.write()

    def undo(self) -> None:
        """Takes back every change, last first.

        What cannot be taken back is logged, and stays in the journal for the next start.
        """
        for change in reversed(self._changes.copy()):
            try:
                self._take_back(change)
            except ToxvpnError as error:
                logger.warning("%s", error)

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
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _make(self, change: Change) -> None:
        """An interface that somebody has set down takes no routes: they are `missing` when it is up again."""
        if self._journal:
            self._journal.add(change)
        else:
            self._changes.append(change)
        try:
            change.apply(self._net)
        except ToxvpnError as error:
            if _code(error) == errno.ENETDOWN:
                return
            self._forget(change)  # refused, so not ours: undoing it could hit somebody else's
            raise

    def _take_back(self, change: Change) -> None:
        change.undo(self._net)
        self._forget(change)

    def _forget(self, change: Change) -> None:
        if self._journal:
            self._journal.remove(change)
        else:
            self._changes.remove(change)

    def _set_link(self, interface: str, attribute: str, value: int) -> None:
        found, attributes = self._interface(interface)
        previous = attributes.get(attribute)
        if value != previous:
            self._make(LinkSet(found, attribute, value, previous))

    def _interface(self, name: str) -> tuple[Interface, Any]:
        """Who it is, under its present name, and its attributes."""
        index = self._indices.get(name)
        attributes = None if index is None else link(self._net, index)
        if attributes is None:
            indices = self._net.call(lambda route: route.link_lookup(ifname=name))
            attributes = link(self._net, indices[0]) if indices else None
        if attributes is None:
            raise ToxvpnError(f"There is no interface {name}: it was removed or renamed, start again.")
        self._indices[name] = attributes["index"]
        return Interface(attributes.get("ifname"), attributes["index"]), attributes

    def _close_journal(self) -> None:
        if self._journal:
            self._journal.close()


def _code(error: ToxvpnError) -> int | None:
    """The errno that the kernel gave."""
    cause = error.__cause__
    return cause.code if isinstance(cause, NetlinkError) else None


def recover(journal_path: Path) -> int:
    """Undoes what a killed process left in the network; returns the number of changes undone.

    Raises NetworkBusyError when the process that made them is alive.
    """
    if not journal_path.exists():
        return 0
    with NetworkChanges(journal_path) as network:
        return network.recovered
