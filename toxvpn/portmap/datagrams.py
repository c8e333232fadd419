"""Mappings by PCP and by NAT-PMP: a datagram to the router, and one back.

In: a router and our port. Out: what it grants. wire/router/pcp.py and wire/router/natpmp.py have the
datagrams.
"""

import asyncio
import secrets
import socket
from collections.abc import Callable
from ipaddress import IPv4Address
from typing import TypeVar

from ..wire.router import natpmp, pcp
from .protocol import Asked, GrantedPort, NoAnswerError, NotMappedError

T = TypeVar("T")
WAITS_S = (0.25, 0.5, 1.0)
"""For each repetition (RFC 6886 §3.1; a router that speaks the protocol answers within milliseconds)."""
MOST_WRONG = 64
"""Datagrams that are no answer, after which no further one is read."""


async def exchange(asked: Asked, request: bytes, read: Callable[[bytes], T | None]) -> T:
    """What `read` makes of the answer to the request. Raises NoAnswerError, OSError."""
    loop, router = asyncio.get_running_loop(), (asked.gateway.host, natpmp.PORT)
    with asked.gateway.socket(socket.SOCK_DGRAM) as udp:
        wrong = 0
        for wait_s in WAITS_S:
            udp.sendto(request, router)
            try:
                async with asyncio.timeout(wait_s):
                    while wrong < MOST_WRONG:
                        packet, sender = await loop.sock_recvfrom(udp, pcp.MOST_BYTES + 1)
                        answer = read(packet) if sender == router else None
                        if answer is not None:
                            return answer
                        wrong += 1
                        asked.drops["unreadable" if sender == router else "elsewhere"] += 1
            except TimeoutError:
                continue
            break
    raise NoAnswerError


class Pcp:
    """A mapping by PCP."""

    name = "PCP"

    def __init__(self, asked: Asked) -> None:
        own = IPv4Address(asked.gateway.own)
        self._asked = asked
        self._request = pcp.PcpRequest(secrets.token_bytes(pcp.NONCE_BYTES), own, asked.port)
        self._outer_port = asked.port

    async def ask(self, lifetime_s: int) -> GrantedPort:
        request = self._request.encode(self._outer_port, lifetime_s)
        answer: pcp.PcpMapped | pcp.PcpRefusal = await exchange(
            self._asked, request, self._request.answer_untrusted
        )
        if isinstance(answer, pcp.PcpRefusal):
            if answer.older:
                raise NoAnswerError
            raise NotMappedError(answer.reason)
        self._outer_port = answer.port
        return GrantedPort(str(answer.host), answer.port, answer.lifetime_s)

    async def release(self) -> None:
        await self.ask(0)


class NatPmp:
    """A mapping by NAT-PMP."""

    name = "NAT-PMP"

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._outer_port = asked.port

    async def ask(self, lifetime_s: int) -> GrantedPort:
        host: IPv4Address | natpmp.PmpRefusal = await exchange(
            self._asked, natpmp.ADDRESS_REQUEST, natpmp.address_untrusted
        )
        if isinstance(host, natpmp.PmpRefusal):
            raise NotMappedError(host.reason)
        mapped = await self._map(self._outer_port, lifetime_s)
        self._outer_port = mapped.port
        return GrantedPort(str(host), mapped.port, mapped.lifetime_s)

    async def release(self) -> None:
        await self._map(0, 0)

    async def _map(self, outer_port: int, lifetime_s: int) -> natpmp.PmpMapped:
        port = self._asked.port
        request = natpmp.map_request(port, outer_port, lifetime_s)
        answer: natpmp.PmpMapped | natpmp.PmpRefusal = await exchange(
            self._asked, request, lambda packet: natpmp.mapped_untrusted(packet, port)
        )
        if isinstance(answer, natpmp.PmpRefusal):
            raise NotMappedError(answer.reason)
        return answer
