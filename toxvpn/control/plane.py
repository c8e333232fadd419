"""The control socket with everything that one daemon answers: what the daemon calls."""

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from ..tox.node import Node
from ..tox.roster import Roster
from .commands import Commands, Ping
from .peer_commands import PeerCommands
from .server import ControlServer
from .status import StatusSource


@contextlib.asynccontextmanager
async def control_plane(
    directory: Path,
    node: Node,
    source: StatusSource,
    *,
    ping: Ping,
    stop: Callable[[], None],
    roster: Roster | None = None,
) -> AsyncIterator[ControlServer]:
    """Serves `directory`/control.sock inside the `with`; the directory exists and is ours.

    `stop` asks the daemon to end and returns at once. More words can be registered with the server.
    Raises ToxvpnError when another daemon serves that socket, ConfigError, NoPermissionError.
    """
    server = ControlServer(directory)
    commands = Commands(server, source, ping, stop)
    node.subscribe(commands.changed)
    if roster is not None:
        PeerCommands(server, roster, commands.changed)
    await server.start()
    try:
        yield server
    finally:
        server.close()
