"""A peer that is back is asked, over each stream with it, whether its stack still knows that stream.

The kernel asks by itself once a stream has been silent for IDLE_S, but again only minutes later
(patience.py). So a question that is lost while the peer is away would leave a stream standing still for as
long, if the peer's stack has been started anew.
"""

import asyncio
import socket
from ipaddress import IPv6Address

from ..._native.results import Connection
from ...tox.events import Event, PeerConnection
from ..relay import Relay
from .segments import sockets

AGAIN_S = (0.0, 5.0, 20.0)
"""After its return. The first packets may be lost; a stream that is silent for less asks by itself."""


def on_event(relay: Relay, address: IPv6Address, event: Event) -> None:
    """For each event of the node: `relay` has the streams, `address` is ours on the stack."""
    if isinstance(event, PeerConnection) and event.peer.online and event.before is Connection.NONE:
        loop, peer = asyncio.get_running_loop(), event.peer
        for after_s in AGAIN_S:
            loop.call_later(after_s, lambda: ask(relay.descriptors(peer), address))


def ask(descriptors: set[int], address: IPv6Address) -> None:
    """Linux asks at once when it is told the time that a stream may be silent, and that is over."""
    for _, sock in sockets(descriptors, address):
        idle_s = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle_s)
