"""The serving side of forwards: what a peer may reach, and the connection to it."""

from collections.abc import Mapping

from ..tox.peer import Peer
from .ends import End, SocketEnd
from .lookup import LookUps
from .rules import Rules
from .target import connect_target


class Server:
    """`serve` is what the roads call for a peer's request.

    `rules` are for every peer that has none of its own in `grants` (by public key). Both may be
    replaced at any time: streams that are open stay open.
    """

    def __init__(self, rules: Rules, grants: Mapping[bytes, Rules] | None = None) -> None:
        self.rules = rules
        self.grants: Mapping[bytes, Rules] = grants or {}
        self._lookups = LookUps()

    async def serve(self, peer: Peer, host_untrusted: str, port: int) -> End:
        """Raises TargetRefusedError."""
        rules = self.grants.get(peer.public_key, self.rules)
        return SocketEnd(await connect_target(host_untrusted, port, rules, self._lookups.of(peer)))
