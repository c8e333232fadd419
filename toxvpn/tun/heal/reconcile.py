"""Keeps the VPN's network as it should be, whatever other programs change on this machine.

Networks that become local are reported to the router, which gives way to them. What somebody has removed of
ours (flushed, or by setting the link down and up) is put back: addresses, routes, rules, sysctls and nftables
tables. With a program that keeps removing it we do not fight for long, except for what is to outlast us: the
block of what must not leave but through an exit. What an administrator does on purpose
stays: a device that is set down has no addresses and routes until it is up again, and a renamed one keeps its
new name. Neighbours: `monitor` (says when to look), `programs` (names the other program), `fight`.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection

from ...errors import ToxvpnError
from ..host.changes import Change
from ..host.kernel import KernelTables
from ..host.netconf import NetworkChanges
from ..neighbours.local_networks import LocalNetwork
from ..neighbours.precedence import Precedence
from .fight import REPAIRS_AT_ONCE, Fight
from .notices import notices
from .programs import Culprits

log = logging.getLogger("toxvpn.tun")

RETRY_S = 10.0
"""After the kernel has refused."""
PLURALS = {
    "address": "addresses",
    "route": "routes",
    "rule": "rules",
    "unreachable": "unreachable networks",
    "sysctl": "sysctls",
    "nft-table": "nftables tables",
}


class Reconciler:
    """Compares the kernel's tables with what they should be, and acts on the difference.

    `interface` is the device's first name, `name` its present one. `on_local_networks` gets the networks that
    this machine uses without us, when they have changed; `find_local` finds them. `on_tables` gets all that
    was read, each time, and returns whether it has changed something in the kernel.
    """

    def __init__(
        self,
        network: NetworkChanges,
        interface: str,
        on_local_networks: Callable[[list[LocalNetwork]], None],
        find_local: Callable[[KernelTables, Collection[str]], list[LocalNetwork]],
        clock: Callable[[], float] = time.monotonic,
        culprits: Culprits | None = None,
        on_tables: Callable[[KernelTables], bool] = lambda tables: False,
    ) -> None:
        self.name = interface
        self.up = True
        self._network = network
        self._interface = interface
        self._on_local_networks = on_local_networks
        self._find_local = find_local
        self._on_tables = on_tables
        self._clock = clock
        self._culprits = culprits or Culprits()
        self._fight = Fight()
        self._precedence = Precedence(network, interface)
        self._local: list[LocalNetwork] | None = None
        self._failure = ""

    async def reconcile(self) -> float | None:
        """Returns after how many seconds to look again even if nothing changes; None: not before a change."""
        tables = await self._network.read_kernel_async(self._interface)
        if tables.link is None:  # the device was removed: the packet pump reports that
            return None
        if tables.link.name != self.name:
            log.warning("%s is called %s now, and goes on under that name", self.name, tables.link.name)
            self.name = tables.link.name
            self._network.rename(self._interface, self.name)
        local = self._find_local(tables, [self.name])
        if local != self._local:
            self._local = local
            self._on_local_networks(local)
        if self.up and not tables.link.up:
            log.warning("%s was set down: nothing passes until it is set up again", self.name)
        self.up = tables.link.up
        self._precedence.update(tables)
        if self._on_tables(tables):
            return 0.0
        missing = self._network.missing(self._interface, tables)
        if not missing:
            self._failure = ""
            return None
        fought = self._fight.left_s(self._clock()) > 0
        if not self._fight.allows(self._clock()):
            left_s = self._fight.left_s(self._clock())
            lasting = [each for each in missing if self._network.keeps(each)]
            left_out = [each for each in missing if each not in lasting]
            if left_out and not fought:
                self._tell_fight(left_out, left_s)
            return left_s if self._hold(lasting) else RETRY_S
        return None if self._restore(missing) else RETRY_S

    def hear(self, datagram: bytes) -> None:
        """Takes a message of the kernel's, for the name of the program that it is about."""
        for notice in notices(datagram, self._network.index_of(self._interface)):
            self._culprits.note(notice)

    def _tell_fight(self, missing: list[Change], pause_s: float) -> None:
        log.warning(
            "%s keeps undoing what is put back in the network of %s (%d times in a row): it stays as it is "
            "for %d minutes, without %s; stop that program, or let it leave %s alone",
            self._culprits.take({change.kind for change in missing}),
            self.name,
            REPAIRS_AT_ONCE,
            round(pause_s / 60),
            counted(Counter(change.kind for change in missing)),
            self.name,
        )

    def _hold(self, lasting: list[Change]) -> bool:
        """Returns whether they are back. Each time, and without a word each time."""
        try:
            for change in lasting:
                self._network.restore(change)
        except ToxvpnError as failure:
            log.debug("%s", failure)
            return False
        return True

    def _restore(self, missing: list[Change]) -> bool:
        """Returns whether everything is back."""
        restored: Counter[str] = Counter()
        failures = []
        for change in missing:
            try:
                restored[change.kind] += self._network.restore(change)
            except ToxvpnError as failure:
                failures.append(str(failure))
        if +restored:
            who = self._culprits.take(+restored)
            log.warning("%s changed the network of %s; put back: %s", who, self.name, counted(+restored))
        if failures and failures[0] != self._failure:
            self._failure = failures[0]
            log.warning("%s could not be restored: %s", self.name, self._failure)
        return not failures


def counted(kinds: Counter[str]) -> str:
    """Such as "addresses: 2, routes: 1"."""
    return ", ".join(f"{PLURALS[kind]}: {count}" for kind, count in sorted(kinds.items()))
