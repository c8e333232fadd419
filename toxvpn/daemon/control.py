"""Serves the control socket of a run, and its metrics over HTTP.

In: the run and its status. Out: both served until the run ends. Neighbours: control/ has the socket and the
commands, report/ the metrics.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

from ..control.commands import RunCommands, answering
from ..control.giveway import GIVE_WAY
from ..control.peer_commands import PeerCommands
from ..control.server import ControlServer, Handler
from ..control.status_reader import StatusReader
from ..errors import PeerRefusedError
from ..members.roster import Roster
from ..report.collector import Collector
from ..report.metrics_http import served
from ..state.places import make
from ..tcpforward.tuntox.road import TuntoxRoad
from ..tun.filters import Verdict
from .measured import Measured
from .node import RunningNode


@contextlib.asynccontextmanager
async def controlled(
    run: RunningNode,
    directory: Path | None,
    status: StatusReader,
    tuntox: TuntoxRoad,
    measured: Measured,
    roster: Roster | None = None,
    reload: Callable[[], list[str]] | None = None,
    renew: Callable[[], tuple[str, str]] | None = None,
    give_way: Callable[[], Awaitable[bool]] | None = None,
    more: Mapping[str, Handler] = {},
    policy: Callable[[bytes, str], Verdict] | None = None,
) -> AsyncIterator[None]:
    """Serves inside the `with`: the control socket in `directory`, if given; metrics, if the run has a port.

    `reload` returns what it did, a line each. `renew` makes a new secret and returns what to type on the
    other side, with that secret in it and without. `give_way` ends the run if nobody uses it. `policy` says
    whether a peer may reach a target over the VPN. `more`: further commands, by name. Raises ToxvpnError when
    another toxvpn serves there.
    """
    collector = Collector(status.read, tuntox, roster)
    async with served(run.metrics_port, collector.text):
        if directory is None:
            yield
            return
        server = ControlServer(make(directory))

        async def ping(public_key: bytes) -> float:
            peer = run.node.peer(public_key)
            if peer is None:
                raise PeerRefusedError("that peer has just been removed")
            return await tuntox.ping(peer)

        commands = RunCommands(server, status.read, ping, run.stopping.set, measured.look)
        run.node.subscribe(commands.changed)
        server.register("metrics", answering(collector.text))
        if roster is not None:
            PeerCommands(server, roster)
        if reload is not None:
            server.register("reload", answering(reload))
        if renew is not None:
            server.register("secret-renew", answering(lambda: secret_answer(*renew())))
        if policy is not None:
            commands.explain_with(policy)
        if give_way is not None:
            server.register(GIVE_WAY, lambda _: give_way())
        for name, handler in more.items():
            server.register(name, handler)
        await server.start()
        try:
            with measured.pinging():
                yield
        finally:
            server.close()


def secret_answer(shown: str, hidden: str) -> dict[str, str]:
    return {"shown": shown, "hidden": hidden}
