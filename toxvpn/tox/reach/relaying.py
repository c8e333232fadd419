"""This machine between two of its friends: it passes datagrams on for those that `relay_for` names.

In: who is named, and which of them are connected directly. Out: the table by which packets are passed on
(_native/net/detour.c), and what each of them is told of the others (wire/reach/relayoffer.py). The friends do
the rest (detours.py): what passes here is encrypted between them.
"""

from collections.abc import Callable, Collection

from ...wire.reach import relayoffer
from ..events import Event, PeerConnection
from ..node import Node
from ..peer import Peer
from .detours import is_direct

LOOK_S = 0.5
TELL_AGAIN_S = 15.0
TELLS = 3
"""Times that everybody is told after a change, LOOK_S apart: packets are lossy."""


class Relaying:
    """One for each node, for as long as the node lives. `named`: the public keys of those it relays for."""

    def __init__(self, node: Node) -> None:
        self.named: Callable[[], Collection[bytes]] = tuple
        self._node = node
        self._indices: dict[bytes, int] = {}
        self._members: dict[int, Peer] = {}
        self._numbers: dict[int, int] = {}
        self._tells = 0
        self._looked_s = self._told_s = float("-inf")
        node.each_tick.append(self._tick)
        node.subscribe(self._on_event)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, PeerConnection):  # its number may be another's soon
            self._look()

    def _tick(self, now: float) -> None:
        if now - self._looked_s < LOOK_S:
            return
        self._looked_s = now
        self._look()
        if self._tells or (len(self._members) > 1 and now - self._told_s >= TELL_AGAIN_S):
            self._tells = max(self._tells - 1, 0)
            self._told_s = now
            self._tell()

    def _look(self) -> None:
        """Only who is connected directly is relayed for: a path of two relays is worse than one."""
        named = self.named()
        if not named and not self._indices:
            return
        self._indices = _kept(self._indices, named)
        self._members = {
            self._indices[peer.public_key]: peer
            for peer in self._node
            if peer.public_key in self._indices and is_direct(peer)
        }
        numbers = {index: peer.number for index, peer in self._members.items()}
        if numbers != self._numbers:
            self._numbers = numbers
            self._tells = TELLS
            self._node.tox.relay_for(numbers)

    def _tell(self) -> None:
        own = self._node.tox.public_key
        for peer in self._node:
            if peer.online and peer.public_key in self._indices:
                others = {i: each.public_key for i, each in self._members.items() if each is not peer}
                self._node.tox.send_lossy(peer.number, relayoffer.encode(own, peer.public_key, others))


def _kept(before: dict[bytes, int], named: Collection[bytes]) -> dict[bytes, int]:
    """An index for each key, the same as before where there was one: packets with it are under way."""
    indices = {key: index for key, index in before.items() if key in named}
    free = (index for index in range(256) if index not in indices.values())
    for key in sorted(named):
        if key not in indices and len(indices) < relayoffer.MOST:
            indices[key] = next(free)
    return indices
