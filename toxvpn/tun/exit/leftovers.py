"""Takes back what a run with an exit has left in this machine's network: a kill switch outlasts its process.

In: the kernel's tables, and the journal. Out: the network without them. Used by `toxvpn down` when nothing is
running, and by each start. The journal may be gone (a service manager removes the directory that it is in) or
belong to the service's user, so the kernel's own tables count: a kill switch without a device is a leftover.
"""

import logging
import re
import socket
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

from ... import linux
from ...errors import ToxvpnError
from ...linux import Capability
from ..host import nftables
from ..host.changes import PROTOCOL
from ..host.netconf import NetworkChanges
from ..host.netlink import Netlink
from ..host.nftables import table_name
from .killswitch import FIRST_PRIORITY, LAST_PRIORITY, PURPOSE

log = logging.getLogger("toxvpn.tun")

JOURNAL_NAME = "network.journal"
_PREFIX = table_name(PURPOSE, "")
_DEVICE = re.compile(r'iif "(?!lo")')


def is_switch(table: str) -> bool:
    return table.startswith(_PREFIX)


def switches() -> set[str]:
    """The names of the kill switches in force; none where we cannot see them."""
    if not linux.permitted() & 1 << Capability.NET_ADMIN:  # libnftables would say so on stderr
        return set()
    with suppress(ToxvpnError):
        return {name for family, name in nftables.tables() if family == "inet" and is_switch(name)}
    return set()


def orphans() -> set[str]:
    """The kill switches whose device is gone. One that somebody has renamed is still there: tables know a
    device by its number, and are listed with the name that it has, if it is there.
    """
    return {name for name in switches() if not _DEVICE.search(nftables.listed("inet", name) or "")}


def remove_switches(network: NetworkChanges, names: Collection[str]) -> None:
    """Removes those that earlier runs left, of these names. Raises ToxvpnError."""
    left = orphans()
    for name in names:
        network.remove_table("inet", name)
        if name in left:
            nftables.remove("inet", name)


def clear(runtime: Path) -> bool:
    """Takes back everything that a killed run left. False: there was nothing.

    Raises NetworkBusyError when that run is alive, ToxvpnError.
    """
    journal = runtime / JOURNAL_NAME
    found = journal.exists() or bool(orphans())
    if found:
        with NetworkChanges(journal) as network:
            remove_switches(network, switches())
        if not switches():
            with Netlink() as net:
                net.call(_flush_rules)
    return found


def _flush_rules(route: Any) -> None:
    """Those of ours: without a kill switch, nobody uses them."""
    for family in (socket.AF_INET, socket.AF_INET6):
        route.flush_rules(
            family=family,
            protocol=PROTOCOL,
            priority=lambda priority: FIRST_PRIORITY <= priority <= LAST_PRIORITY,
        )
