"""A network of the user's own during a run: its namespace, its names, its way out, and who is in it.

In: what was asked for (config/flags.py UserNetwork). Out: the namespace for the VPN, and `join`, which
answers `toxvpn exec`. Neighbours: usernet/ has the parts; cli/exec.py enters.
"""

import asyncio
import contextlib
from pathlib import Path
from typing import Self

from ..config.flags import UserNetwork
from ..control.protocol import ControlRequest
from ..errors import ToxvpnError
from ..linux import Capability
from ..process.privileges import drop_privileges
from ..state.files import write_atomic
from ..state.places import make
from ..usernet.holders import Holders
from ..usernet.internet import DNS, Internet
from ..usernet.names import resolv_conf
from ..usernet.namespace import UserNamespace
from .node import RunningNode

RESOLV_CONF_NAME = "resolv.conf"
RESOLV_CONF_MODE = 0o644


class JoinableNetwork:
    """There from construction until `close`. Raises ToxvpnError."""

    def __init__(self, wanted: UserNetwork, run: RunningNode, runtime: Path) -> None:
        self._wanted = wanted
        self._run = run
        self._resolv_conf = make(runtime) / RESOLV_CONF_NAME
        loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as undo:
            self.namespace = undo.enter_context(UserNamespace.start())
            drop_privileges(set(Capability) - {Capability.SETFCAP})
            loop.add_reader(self.namespace, self._lost)
            undo.callback(loop.remove_reader, self.namespace)
            if wanted.internet:
                undo.callback(Internet(self.namespace).close)
            undo.callback(self._resolv_conf.unlink, missing_ok=True)
            content = resolv_conf(DNS if wanted.internet else None)
            write_atomic(self._resolv_conf, content, RESOLV_CONF_MODE)
            self._commands = Holders(self._empty)
            undo.callback(self._commands.close)
            if wanted.command is not None:
                self._commands.add(wanted.command)
            self._undo = undo.pop_all()

    async def join(self, request: ControlRequest) -> object:
        """Answers with what it takes to enter the network, and keeps it while that process lives."""
        process = request.optional_number("process")
        self._commands.add(int(process or 0))
        return {
            "owner": self.namespace.owner,
            "resolv_conf": str(self._resolv_conf),
            "internet": self._wanted.internet,
        }

    def close(self) -> None:
        """Commands that are still there stay in a network without a VPN."""
        self._undo.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _empty(self) -> None:
        if self._wanted.command is not None:
            self._run.stopping.set()

    def _lost(self) -> None:
        asyncio.get_running_loop().remove_reader(self.namespace)
        reason = f"the process that owned the network ({self.namespace.owner}) has ended: start again"
        self._run.lifecycle.fail(ToxvpnError(reason))
