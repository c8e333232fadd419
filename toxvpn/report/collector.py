"""The metrics of one run, made when somebody asks: its status, and what is counted beside it."""

from .. import __version__
from .._native import toxcore
from .._native.net import netio
from ..control.protocol import ControlRequest
from ..control.status import StatusSource, document
from ..members.roster import Roster
from ..tcpforward.tuntox.road import TuntoxRoad


class Collector:
    """`roster` where there is one."""

    def __init__(self, source: StatusSource, tuntox: TuntoxRoad, roster: Roster | None = None) -> None:
        self._source = source
        self._tuntox = tuntox
        self._roster = roster

    def text(self) -> str:
        from . import metrics  # its library takes 50 ms and 5 MB, for who asks

        return metrics.text(
            document(self._source),
            metrics.Counted(
                versions={"version": __version__, "libtoxcore": toxcore.version()},
                network=netio.counters(),
                refused={} if self._roster is None else self._roster.admission.refused,
                tunnel_drops={reason.name.lower(): count for reason, count in self._tuntox.drops().items()},
            ),
        )

    async def metrics(self, _: ControlRequest) -> object:
        """For the control socket."""
        return self.text()
