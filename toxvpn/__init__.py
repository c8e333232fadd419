"""Reach a machine behind any NAT by its Tox ID: as TCP forward or as a network.

For programs: `async with toxvpn.node() as node`, see docs/python.md. What is promised stands in `__all__`.
"""

TYPE_CHECKING = False  # for a type checker it is True; to import it would cost more than all else here

if TYPE_CHECKING:
    from .api.events import Event, NetworkEvent, PeerEvent
    from .api.forward import Forward
    from .api.node import Node, node
    from .api.peer import Peer
    from .api.server import Server
    from .errors import (
        ClosedError,
        ConfigError,
        NoPermissionError,
        PeerOfflineError,
        ToxvpnError,
        UsageError,
    )
    from .tcpforward.road import StreamOpenError

__version__ = "0.1.0"

__all__ = [
    "ClosedError",
    "ConfigError",
    "Event",
    "Forward",
    "NetworkEvent",
    "NoPermissionError",
    "Node",
    "Peer",
    "PeerEvent",
    "PeerOfflineError",
    "Server",
    "StreamOpenError",
    "ToxvpnError",
    "UsageError",
    "node",
]

_MODULES = {
    "Event": "api.events",
    "Forward": "api.forward",
    "NetworkEvent": "api.events",
    "Node": "api.node",
    "Peer": "api.peer",
    "PeerEvent": "api.events",
    "Server": "api.server",
    "StreamOpenError": "tcpforward.road",
    "node": "api.node",
}
"""Where a name is, if not in errors: a command of toxvpn loads none of this."""


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        found = getattr(import_module(f".{_MODULES.get(name, 'errors')}", __name__), name)
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
