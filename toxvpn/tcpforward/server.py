"""The serving side of forwards: what a peer may reach, and the connection to it."""

from ..tox.peer import Peer
from .ends import End, SocketEnd
from .rules import Rules
from .target import connect_target


class Server:
    """`serve` is what the roads call for a peer's request."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules

    async def serve(self, peer: Peer, host_untrusted: str, port: int) -> End:
        """Raises TargetRefusedError."""
        return SocketEnd(await connect_target(host_untrusted, port, self.rules))
