"""The callers of a run: one for each peer that connections go through, made when it is first needed."""

from ..tcpforward.caller import Caller
from ..tcpforward.road import Road
from ..tox.node import Node


class Callers:
    """`road` carries the streams of every caller."""

    def __init__(self, node: Node, road: Road) -> None:
        self._node = node
        self._road = road
        self._callers: dict[bytes, Caller] = {}

    def get(self, public_key: bytes) -> Caller:
        """The caller of that peer, which becomes a friend if it is not one yet."""
        peer = self._node.peer(public_key) or self._node.accept(public_key)
        caller = self._callers.get(public_key)
        if caller is not None and caller.peer is not peer:  # it was removed, and is here again
            caller.close()
            caller = None
        if caller is None:
            caller = self._callers[public_key] = Caller(self._node, peer, self._road)
        return caller
