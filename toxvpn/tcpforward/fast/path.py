"""The packets of the fast road: between our private stack's TUN and Tox, as packet ID 201.

In: a stack (stack.py) and the node; out: which peer is at an overlay address. Each friend may send from
its own address alone, to ours alone; what it may then reach is decided behind `server.py`.
"""

import contextlib
from ipaddress import IPv6Address, IPv6Network

from ..._native.path.datapath import Datapath
from ..._native.path.packets import PacketFormat
from ..._native.path.toxcarrier import ToxCarrier
from ...tox.events import Event, PeerConnection
from ...tox.node import Node
from ...tox.overlay import Overlay
from ...tox.peer import Peer
from ...tox.pump import PacketPump
from ...wire.ip import STACK_MTU
from .stack import Stack


class FastPath:
    """Packets flow from construction until `close`; the stack stays its owner's."""

    def __init__(self, node: Node, stack: Stack) -> None:
        self._node = node
        self._datapath = Datapath(
            ToxCarrier(node.tox),
            stack.tun.fd,
            PacketFormat.STACK,
            mtu=STACK_MTU,
            vnet_hdr=stack.tun.vnet_hdr,
            udp_offload=stack.udp_offload,
        )
        self._datapath.add_own_address(IPv6Network(stack.address))
        self._overlay = Overlay(self._datapath)
        for peer in node:
            self._overlay.add(peer)
        node.subscribe(self._on_event)
        self._pump = PacketPump(node, self._datapath, stack.tun.fd)

    def close(self) -> None:
        """Called once. First sends the packets that the stack still has, above all the resets of streams."""
        with contextlib.suppress(OSError):  # the device is gone
            while self._datapath.read_tun():
                pass
        self._pump.close()
        self._node.unsubscribe(self._on_event)
        self._datapath.close()

    def peer_at(self, address: IPv6Address) -> Peer | None:
        """The peer with that overlay address; the datapath lets nobody else send from it."""
        return self._overlay.peer_at(address)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, PeerConnection):
            self._overlay.add(event.peer)
        self._overlay.on_event(event)
