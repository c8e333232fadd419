"""The forwards of the configuration: listeners that come and go while it runs.

In: ForwardSections, and the roads. Out: connections, carried through the peer. A listener is known by
where it listens: it stays while it is wanted, whatever becomes of its peer or target. Connections that
run are never touched by a change.
"""

import contextlib
import logging
import socket
from collections.abc import Iterable, Iterator, Mapping

from ..config.peers import ForwardSection, PeerSection
from ..control.status import ForwardState
from ..tcpforward import socks
from ..tcpforward.caller import Caller
from ..tcpforward.choice import RoadChooser
from ..tcpforward.listen import Listener
from ..tcpforward.spec import Listen
from ..tox.node import Node

log = logging.getLogger("toxvpn")


class Forward:
    """One listener; `caller` and `section` are what its next connection is carried with."""

    caller: Caller
    section: ForwardSection

    def __init__(self, listen: Listen) -> None:
        self.listener = Listener(listen, self._carry)

    async def _carry(self, local: socket.socket) -> None:
        if self.section.target is None:
            await socks.carry(self.caller, local)
        else:
            await self.caller.carry(local, self.section.target)


Fresh = Mapping[Listen, Forward]
"""Bound, and nothing else."""


class Forwards:
    def __init__(self, node: Node, chooser: RoadChooser) -> None:
        self._node = node
        self._chooser = chooser
        self._forwards: dict[Listen, Forward] = {}
        self._retired: list[Listener] = []
        self._callers: dict[bytes, Caller] = {}

    @contextlib.contextmanager
    def bound(self, sections: Iterable[ForwardSection]) -> Iterator[Fresh]:
        """What is wanted and not there yet. It is given up when the block fails.

        Raises ToxvpnError (a port in use), NoPermissionError.
        """
        wanted = dict.fromkeys(section.listen for section in sections)
        new = [listen for listen in wanted if listen not in self._forwards]
        ports = {listen.port for listen in new}
        with contextlib.ExitStack() as undo:
            for leaving in self._forwards.keys() - wanted.keys():
                if leaving.port in ports:  # which is to be on more addresses, or fewer
                    undo.callback(self._forwards[leaving].listener.come_back)
                    self._forwards[leaving].listener.make_way()
            fresh: dict[Listen, Forward] = {}
            for listen in new:
                fresh[listen] = Forward(listen)
                undo.callback(fresh[listen].listener.stop_listening)
            yield fresh
            undo.pop_all()

    def set(self, sections: Iterable[ForwardSection], peers: Mapping[str, PeerSection], fresh: Fresh) -> None:
        """Once the peers are friends. `fresh` is what `bound` gave for these sections.

        When it raises, no listener has changed.
        """
        wanted = {section.listen: section for section in sections}
        callers = {listen: self.caller(peers[each.peer].public_key) for listen, each in wanted.items()}
        for listen in self._forwards.keys() - wanted.keys():
            listener = self._forwards.pop(listen).listener
            listener.stop_listening()
            self._retired.append(listener)
        self._retired = [listener for listener in self._retired if listener.connections]
        self._forwards |= fresh
        for listen, section in wanted.items():
            self._forwards[listen].section = section
            self._forwards[listen].caller = callers[listen]
        for listen, forward in fresh.items():
            forward.listener.start()
            log.info("listening: %s -> %s of %s", listen, _target(forward.section), forward.section.peer)

    async def close(self) -> None:
        """Resets what runs."""
        for listener in [*(forward.listener for forward in self._forwards.values()), *self._retired]:
            await listener.close()

    def states(self) -> list[ForwardState]:
        return [self._state(listen, forward) for listen, forward in self._forwards.items()]

    def _state(self, listen: Listen, forward: Forward) -> ForwardState:
        road, why = self._chooser.choice(forward.caller.peer)
        return ForwardState(
            listen=str(listen),
            target=_target(forward.section),
            road=road,
            why=why,
            streams=forward.listener.connections,
        )

    def caller(self, public_key: bytes) -> Caller:
        """What calls through that peer, whom it makes a friend if need be."""
        peer = self._node.peer(public_key) or self._node.accept(public_key)
        caller = self._callers.get(public_key)
        if caller is not None and caller.peer is not peer:  # it was removed, and is here again
            caller.close()
            caller = None
        if caller is None:
            caller = self._callers[public_key] = Caller(self._node, peer, self._chooser)
        return caller


def _target(section: ForwardSection) -> str:
    return "socks5" if section.target is None else str(section.target)
