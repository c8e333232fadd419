"""The serving side of the tuntox road: a peer's request for a tunnel, from its target to its last byte.

The calling side is calls.py.
"""

import asyncio
import logging
from typing import TYPE_CHECKING

from ...tox.loglimit import LogLimit
from ...tox.peer import Peer
from ...wire.socks5 import ReplyCode
from ...wire.tuntox.events import OpenRequested
from ..budget import DESCRIPTORS, TOO_FEW_DESCRIPTORS
from ..ends import End
from ..server import Serve
from ..target import TargetRefusedError

if TYPE_CHECKING:
    from .link import TuntoxLink

log = logging.getLogger("toxvpn.tcpforward")


class TuntoxServer:
    """Serves the requests of all peers. `serve` None: all are refused (a client)."""

    def __init__(self, serve: Serve | None) -> None:
        self._serve = serve
        self._full = LogLimit(at_once=1)
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, link: "TuntoxLink", request: OpenRequested) -> asyncio.Task[None]:
        """Cancelling the task refuses or resets."""
        task = asyncio.create_task(self._answer(link, request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """Resets the streams that run."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _answer(self, link: "TuntoxLink", request: OpenRequested) -> None:
        others = len(link.streams) + len(link.requests) - 1
        if not (DESCRIPTORS.allows_more(others) and DESCRIPTORS.take(1)):
            link.requests.pop(request.handle, None)
            self._full.log(log, logging.WARNING, "peer %s: refused: %s", link.peer.short, TOO_FEW_DESCRIPTORS)
            _refuse(link, request, ReplyCode.GENERAL_FAILURE)
            return
        try:
            await self._connect_and_relay(link, request)
        finally:
            DESCRIPTORS.give(1)

    async def _connect_and_relay(self, link: "TuntoxLink", request: OpenRequested) -> None:
        """The peer learns the code of a refusal only: the reason may name hosts and addresses here."""
        try:
            target = await self._connect(link.peer, request.host, request.port)
        except TargetRefusedError as refusal:
            link.peer.log(log, logging.INFO, "refused: %s", refusal)
            _refuse(link, request, refusal.code)
            return
        except Exception:
            log.exception("peer %s: an error of toxvpn itself", link.peer.short)
            _refuse(link, request, ReplyCode.GENERAL_FAILURE)
            return
        finally:
            link.requests.pop(request.handle, None)
        if not link.tunnels.accept(request.handle):
            target.close(clean=True)
            return
        stream = link.add_stream(request.handle)
        link.driver.send_soon()
        await stream.relay(target)

    async def _connect(self, peer: Peer, host_untrusted: str, port: int) -> End:
        if self._serve is None:
            raise TargetRefusedError(ReplyCode.NOT_ALLOWED, "this side only calls and serves nothing")
        return await self._serve(peer, host_untrusted, port)


def _refuse(link: "TuntoxLink", request: OpenRequested, code: ReplyCode) -> None:
    link.tunnels.refuse(request.handle, code)
    link.driver.send_soon()
