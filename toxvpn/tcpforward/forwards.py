"""Local listeners, and where the connections to them go: a client's -L and -D, the forwards of config.toml.

In: where to listen, and a destination for each listener. Out: connections, carried through a peer. A
configured listener stays while it is wanted, whatever becomes of its peer or target, and a change never
touches connections that run.
"""

import contextlib
import logging
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from ..tox.peer import Peer
from . import socks
from .caller import Caller
from .choice import RoadChoice
from .listen import Listener
from .spec import AnyListen, Listen, Target, Transport, UnixListen
from .udp.listener import DatagramListener
from .unix.file import SocketFile

log = logging.getLogger("toxvpn")


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardState:
    """One local listener as it was given, e.g. `127.0.0.1:8080` to `localhost:80`.

    `road` is the one that a new stream would take now, `why` the reason. `remote`: the other direction (-R);
    this machine listens for the peer ("here"), or the peer for us ("there"), unless there is a `problem`.
    `drops` counts datagrams of UDP that were lost here, by reason.
    """

    listen: str
    target: str
    road: Literal["fast", "tuntox"]
    why: str
    streams: int
    remote: Literal["here", "there"] | None = None
    problem: str | None = None
    drops: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Destination:
    """`target` as the caller's peer sees it; None: each connection names one itself (SOCKS5)."""

    caller: Caller
    target: Target | None
    peer_name: str | None = None

    def __str__(self) -> str:
        return "socks5" if self.target is None else str(self.target)


class ForwardListener(Listener):
    """`destination` is that of the next connection.

    `port` is None for a Unix socket, and when another process bound the sockets.
    """

    destination: Destination

    def __init__(self, listen: AnyListen | list[socket.socket]) -> None:
        super().__init__(listen, self._carry)
        self.port = listen.port if isinstance(listen, Listen) else None

    def set_mode(self, mode: int) -> None:
        for bound in self.sockets:
            if isinstance(bound, SocketFile):
                bound.set_mode(mode)

    async def _carry(self, local: socket.socket) -> None:
        caller, target = self.destination.caller, self.destination.target
        if target is None:
            await socks.carry(caller, local)
        else:
            await caller.carry(local, target)


class DatagramForward(DatagramListener):
    """As ForwardListener, for UDP."""

    def __init__(self, listen: Listen | list[socket.socket]) -> None:
        super().__init__(listen)
        self.port = listen.port if isinstance(listen, Listen) else None

    @property
    def destination(self) -> Destination:
        return self._destination

    @destination.setter
    def destination(self, wanted: Destination) -> None:
        assert wanted.target is not None
        self._destination = wanted
        self.aim(wanted.caller, wanted.target)


AnyListener = ForwardListener | DatagramForward

Bound = Mapping[str, AnyListener]
"""Listeners, by name, that do not accept connections yet."""


class Forwards:
    """The listeners of one run or one command, each known by where it listens, as a person reads it.

    A command adds its own and starts them; a run replaces them all at once. `choice` gives the road that a
    stream to a peer would take now.
    """

    def __init__(self, choice: Callable[[Peer], RoadChoice]) -> None:
        self._choice = choice
        self._listeners: dict[str, AnyListener] = {}
        self._retired: list[AnyListener] = []  # no longer wanted, with connections that run

    def add(self, name: str, listen: AnyListen | list[socket.socket], destination: Destination) -> None:
        """Binds it, or takes over sockets that are bound. Raises ToxvpnError, NoPermissionError."""
        listener = self._listeners[name] = _listener(listen)
        listener.destination = destination

    def start(self) -> None:
        """Accepts connections, once all listeners are added."""
        for name, listener in self._listeners.items():
            _start(name, listener)

    @contextlib.contextmanager
    def bound(self, listens: Iterable[AnyListen]) -> Iterator[Bound]:
        """Binds those of `listens` that are not there yet, for `replace`; lets go of them if the block fails.

        Raises ToxvpnError (a port or path in use), NoPermissionError.
        """
        wanted = {str(listen): listen for listen in listens}
        new = {name: listen for name, listen in wanted.items() if name not in self._listeners}
        ports = {(_kind(each.transport), each.port) for each in new.values() if isinstance(each, Listen)}
        with contextlib.ExitStack() as undo:
            for name in self._listeners.keys() - wanted.keys():
                leaving = self._listeners[name]
                if (type(leaving), leaving.port) in ports:  # which is wanted on more addresses, or fewer
                    undo.callback(leaving.resume)
                    leaving.suspend()
            fresh: dict[str, AnyListener] = {}
            for name, listen in new.items():
                fresh[name] = _listener(listen)
                undo.callback(fresh[name].stop_listening)
            yield fresh
            undo.pop_all()

    def replace(self, wanted: Mapping[AnyListen, Destination], fresh: Bound) -> None:
        """Forwards exactly what is wanted. `fresh` is what `bound` gave for the same listeners."""
        for name in self._listeners.keys() - {str(listen) for listen in wanted}:
            leaving = self._listeners.pop(name)
            leaving.stop_listening()
            self._retired.append(leaving)
        self._retired = [listener for listener in self._retired if listener.connections]
        self._listeners |= fresh
        for listen, destination in wanted.items():
            listener = self._listeners[str(listen)]
            listener.destination = destination
            if isinstance(listen, UnixListen) and isinstance(listener, ForwardListener):
                listener.set_mode(listen.mode)
        for name, listener in fresh.items():
            _start(name, listener)

    async def close(self) -> None:
        """Stops listening, and resets the connections that run. Idempotent."""
        for listener in [*self._listeners.values(), *self._retired]:
            await listener.close()

    def states(self) -> list[ForwardState]:
        return [self._state(name, listener) for name, listener in self._listeners.items()]

    def _state(self, name: str, listener: AnyListener) -> ForwardState:
        destination = listener.destination
        road, why = self._choice(destination.caller.peer)
        return ForwardState(
            listen=name,
            target=str(destination),
            road=road,
            why=why,
            streams=listener.connections,
            drops=listener.drops,
        )


def _listener(listen: AnyListen | list[socket.socket]) -> AnyListener:
    """For the protocol that is wanted, or that the sockets are of."""
    if isinstance(listen, UnixListen):
        return ForwardListener(listen)
    if isinstance(listen, Listen):
        return _kind(listen.transport)(listen)
    return _kind(Transport.UDP if listen[0].type == socket.SOCK_DGRAM else Transport.TCP)(listen)


def _kind(transport: Transport) -> type[ForwardListener] | type[DatagramForward]:
    return DatagramForward if transport is Transport.UDP else ForwardListener


def _start(name: str, listener: AnyListener) -> None:
    listener.start()
    peer_name = listener.destination.peer_name
    of_peer = "" if peer_name is None else f" of {peer_name}"
    log.info("listening: %s -> %s%s", name, listener.destination, of_peer)
