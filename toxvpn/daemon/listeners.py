"""Everything one command listens on: -L and -D. In: where, and the targets; out: connections, carried."""

import logging
import socket
from collections.abc import Awaitable, Callable
from functools import partial

from ..control.status import ForwardState
from ..tcpforward import socks
from ..tcpforward.caller import Caller
from ..tcpforward.choice import RoadChoice
from ..tcpforward.listen import Listener
from ..tcpforward.spec import Listen, Target

log = logging.getLogger("toxvpn")

Carry = Callable[[socket.socket], Awaitable[None]]


class Listeners:
    """`start` once all are added; `close` any number of times."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._listeners: list[tuple[Listener, str, str]] = []

    def add(self, listen: Listen | list[socket.socket], told: str, target: Target | None) -> None:
        """`told` is how a person knows it; `target` None is SOCKS5. Raises ToxvpnError when it cannot."""
        listener = Listener(listen, self._carry(target))
        self._listeners.append((listener, told, "socks5" if target is None else str(target)))

    def start(self) -> None:
        for listener, listen, target in self._listeners:
            listener.start()
            log.info("listening: %s -> %s", listen, target)

    async def close(self) -> None:
        """Resets what runs."""
        for listener, _, _ in self._listeners:
            await listener.close()

    def states(self, choice: RoadChoice) -> list[ForwardState]:
        road, why = choice
        return [
            ForwardState(listen=listen, target=target, road=road, why=why, streams=listener.connections)
            for listener, listen, target in self._listeners
        ]

    def _carry(self, target: Target | None) -> Carry:
        if target is None:
            return partial(socks.carry, self._caller)
        return partial(self._caller.carry, target=target)
