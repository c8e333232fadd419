"""Keeps the VPN's network as it should be, whatever others do to the machine's.

What became local goes before us at once (router.py). What was ours and is gone (an address flushed,
routes flushed, the link set down and up) is put back. What an administrator does on purpose stays: a
device that is set down is left alone until it is up again, and one that is renamed keeps its new name.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection
from ipaddress import IPv4Network
from typing import Protocol

from ..errors import ToxvpnError
from ..wire.ratelimit import RateLimit
from .changes import Change
from .kernel import Kernel
from .local_networks import Use

log = logging.getLogger("toxvpn.tun")

REPAIRS_AT_ONCE, REPAIRS_PER_S = 10, 1 / 10
"""Somebody else may insist on the opposite."""
NAMES = {"address": "addresses", "route": "routes"}


class Network(Protocol):
    async def look_aside(self, interface: str) -> Kernel: ...
    def missing(self, interface: str, kernel: Kernel) -> list[Change]: ...
    def restore(self, change: Change) -> bool: ...
    def rename(self, interface: str, name: str) -> None: ...


class Upkeep:
    """`interface` is what we called it; `name` what it is called now. `heed` is Router.look."""

    def __init__(
        self,
        network: Network,
        interface: str,
        heed: Callable[[Collection[IPv4Network], Collection[IPv4Network]], None],
        uses: Callable[[Kernel, Collection[str]], list[Use]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = interface
        self.up = True
        self._network = network
        self._interface = interface
        self._heed = heed
        self._uses = uses
        self._clock = clock
        self._repairs = RateLimit(REPAIRS_PER_S, REPAIRS_AT_ONCE)
        self._heeded: list[Use] | None = None
        self._complaint = ""

    async def look(self) -> float | None:
        """Returns after how many seconds to look again, though nothing happens."""
        kernel = await self._network.look_aside(self._interface)
        if kernel.link is None:  # removed; the pump tells of it
            return None
        if kernel.link.name != self.name:
            log.warning("%s is called %s now, and goes on under that name", self.name, kernel.link.name)
            self.name = kernel.link.name
            self._network.rename(self._interface, self.name)
        uses = self._uses(kernel, [self.name])
        if uses != self._heeded:
            self._heed(*split(uses))
            self._heeded = uses
        if self.up and not kernel.link.up:
            log.warning("%s was set down: nothing passes until it is set up again", self.name)
        self.up = kernel.link.up
        missing = self._network.missing(self._interface, kernel) if self.up else []
        if not missing:
            self._complaint = ""
            return None
        if not self._repairs.take(self._clock()):
            return 1 / REPAIRS_PER_S
        return None if self._restore(missing) else 1 / REPAIRS_PER_S

    def _restore(self, missing: list[Change]) -> bool:
        """Whether all is back."""
        restored: Counter[str] = Counter()
        complaints = []
        for change in missing:
            try:
                restored[change.kind] += self._network.restore(change)
            except ToxvpnError as failure:
                complaints.append(str(failure))
        if +restored:
            what = ", ".join(f"{NAMES[kind]}: {count}" for kind, count in sorted((+restored).items()))
            log.warning("somebody took something of ours away from %s, put back are %s", self.name, what)
        if complaints and complaints[0] != self._complaint:
            self._complaint = complaints[0]
            log.warning("%s is not as it should be: %s", self.name, self._complaint)
        return not complaints


def split(uses: Collection[Use]) -> tuple[list[IPv4Network], list[IPv4Network]]:
    """As AddressBook.look takes them."""
    return [use.network for use in uses if not use.apart], [use.network for use in uses if use.apart]
