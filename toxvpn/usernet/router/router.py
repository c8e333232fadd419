"""The router as a whole: a VPN's namespace in, and what its peers ask for of the networks behind it, carried.

Made beside a VPN that lives in a namespace of the user's. To a peer it is an ordinary subnet router. For the
machine it is one more program with ordinary sockets: its firewall and routes hold for it as for any other.
"""

from collections import Counter

from ...tcpforward.relay import Relay
from ...tox.peer import Peer
from ...tun.host.namespace import Namespace
from .datagrams import Datagrams
from .destinations import Allows, Destinations
from .doorkeeper import Doorkeeper, Drop, PeerAt
from .echoes import Echoes
from .gate import Gate
from .inside import Inside
from .streams import Streams


class UserRouter:
    """Works in the running event loop from construction, which raises ToxvpnError, until `close`.

    `interface` is the VPN's device in the namespace.
    """

    def __init__(
        self,
        namespace: Namespace,
        interface: str,
        destinations: Destinations,
        peer_at: PeerAt,
        allows: Allows,
    ) -> None:
        self._inside = Inside(namespace, interface, destinations.behind)
        self._gate = Gate(self._inside.gate_fd)
        self._doorkeeper = Doorkeeper(destinations, peer_at, allows, self._gate.send, self._gate.drops)
        self._relay = Relay()
        self._streams = Streams(self._inside.streams, self._relay, self._doorkeeper, self._gate.send)
        self._datagrams = Datagrams(self._inside, self._doorkeeper, self._gate.send)
        self._echoes = Echoes(self._doorkeeper, self._gate.send)
        self._gate.start(self._streams.on_opening, self._echoes.on_echo)

    @property
    def drops(self) -> Counter[Drop]:
        return self._gate.drops

    def forget(self, peer: Peer) -> None:
        """Ends what runs for a peer that is gone for good."""
        self._streams.forget(peer)
        self._datagrams.forget(peer)
        self._echoes.forget(peer)

    async def close(self) -> None:
        """Resets what runs."""
        await self._streams.close()
        self._gate.close()
        self._datagrams.close()
        self._echoes.close()
        self._relay.close()
        self._inside.close()
