"""Collects what a run counts and makes its metrics text, anew for each request.

In: the run's status, and the counters beside it. Out: Prometheus text. Neighbours: metrics.py makes the text;
daemon/control.py has it served over the control socket and over HTTP.
"""

import asyncio
from collections.abc import Callable

from .. import __version__
from .._native import toxcore
from .._native.net import netio
from ..control.status import RunStatus, document
from ..members.roster import Roster
from ..tcpforward.tuntox.road import TuntoxRoad


class Collector:
    """A client has no `roster`."""

    def __init__(
        self, read_status: Callable[[], RunStatus], tuntox: TuntoxRoad, roster: Roster | None = None
    ) -> None:
        self._read_status = read_status
        self._tuntox = tuntox
        self._roster = roster

    def text(self) -> str:
        from . import metrics  # loading its library takes 50 ms and 5 MB, which only a monitor needs

        return metrics.text(
            document(self._read_status()),
            metrics.Counted(
                versions={"version": __version__, "libtoxcore": toxcore.version()},
                network=netio.counters(),
                detours=netio.detour_counters(),
                refused={} if self._roster is None else self._roster.admission.refused,
                tasks=len(asyncio.all_tasks()),
                tunnel_drops={reason.name.lower(): count for reason, count in self._tuntox.drops().items()},
            ),
        )
