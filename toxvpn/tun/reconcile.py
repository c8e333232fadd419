"""Keeps the VPN's network as it should be, whatever other programs change on this machine.

Networks that become local are reported to the router, which gives way to them. Addresses and routes of ours
that somebody has removed (flushed, or by setting the link down and up) are put back. What an administrator
does on purpose stays: a device that is set down is left alone until it is up again, and a renamed one keeps
its new name.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection
from ipaddress import IPv4Network

from ..errors import ToxvpnError
from ..wire.ratelimit import RateLimit
from .changes import Change
from .kernel import KernelTables
from .local_networks import LocalNetwork
from .netconf import NetworkChanges

log = logging.getLogger("toxvpn.tun")

REPAIRS_AT_ONCE, REPAIRS_PER_S = 10, 1 / 10
"""Another program may keep undoing what is put back here."""
PLURALS = {"address": "addresses", "route": "routes"}


class Reconciler:
    """Compares the kernel's tables with what they should be, and acts on the difference.

    `interface` is the device's first name, `name` its present one. `on_local_networks` gets the networks that
    this machine uses without us, when they have changed (Router.set_local_networks); `find_local` finds them.
    """

    def __init__(
        self,
        network: NetworkChanges,
        interface: str,
        on_local_networks: Callable[[Collection[IPv4Network], Collection[IPv4Network]], None],
        find_local: Callable[[KernelTables, Collection[str]], list[LocalNetwork]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = interface
        self.up = True
        self._network = network
        self._interface = interface
        self._on_local_networks = on_local_networks
        self._find_local = find_local
        self._clock = clock
        self._repairs = RateLimit(REPAIRS_PER_S, REPAIRS_AT_ONCE)
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
            self._on_local_networks(*split(local))
            self._local = local
        if self.up and not tables.link.up:
            log.warning("%s was set down: nothing passes until it is set up again", self.name)
        self.up = tables.link.up
        missing = self._network.missing(self._interface, tables) if self.up else []
        if not missing:
            self._failure = ""
            return None
        if not self._repairs.take(self._clock()):
            return 1 / REPAIRS_PER_S
        return None if self._restore(missing) else 1 / REPAIRS_PER_S

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
            what = ", ".join(f"{PLURALS[kind]}: {count}" for kind, count in sorted((+restored).items()))
            log.warning("another program changed the network of %s; put back: %s", self.name, what)
        if failures and failures[0] != self._failure:
            self._failure = failures[0]
            log.warning("%s could not be restored: %s", self.name, self._failure)
        return not failures


def split(local: Collection[LocalNetwork]) -> tuple[list[IPv4Network], list[IPv4Network]]:
    """The networks that block their whole range, and the isolated ones, for AddressBook.set_local."""
    isolated = [each.network for each in local if each.isolated]
    return [each.network for each in local if not each.isolated], isolated
