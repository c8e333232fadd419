"""A local port that leads to a target behind a peer: for libraries that want a host and a port."""

from collections.abc import Callable
from typing import Self

from ..tcpforward.caller import Caller
from ..tcpforward.forwards import Destination, ForwardListener
from ..tcpforward.spec import Listen, Target


class Forward:
    """Made by `Node.listen`: what connects to `host`:`port` reaches the target. An async context manager."""

    def __init__(
        self, caller: Caller, target: Target, host: str, port: int, forget: Callable[["Forward"], None]
    ) -> None:
        self._forget = forget
        self._listener = ForwardListener(Listen((host,), port))
        self._listener.destination = Destination(caller, target)
        self._listener.start()
        address = self._listener.sockets[0].getsockname()
        self.host: str = address[0]
        """The address of this machine that it listens on."""
        self.port: int = address[1]
        """The port that it listens on."""

    async def aclose(self) -> None:
        """Stops listening, and resets the connections that run. Idempotent."""
        await self._listener.close()
        self._forget(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()
