"""Two private stacks in one process, with a cable instead of Tox between their TUNs."""

import asyncio
from typing import Self

from .._native.results import Connection
from ..tcpforward.fast.patience import DEFAULT_S
from ..tcpforward.fast.stack import Stack
from ..tox.peer import Peer
from ..wire.addressing import overlay_ipv6
from .tun_cable import TunCable


class TwoStacks:
    """`peer_a` is A as B knows it, `peer_b` the other way round; both are online."""

    peer_a = Peer(0, bytes([0xA]) * 32, Connection.UDP)
    peer_b = Peer(0, bytes([0xB]) * 32, Connection.UDP)

    def __init__(self, a: Stack, b: Stack) -> None:
        self.a = a
        self.b = b
        self.cable = TunCable(a.tun.fd, b.tun.fd)

    @classmethod
    async def start(cls, keep_s: int = DEFAULT_S) -> Self:
        addresses = overlay_ipv6(cls.peer_a.public_key), overlay_ipv6(cls.peer_b.public_key)
        return cls(*await asyncio.gather(*(Stack.start(address, keep_s) for address in addresses)))

    async def close(self) -> None:
        self.cable.close()
        await asyncio.gather(self.a.close(), self.b.close())
