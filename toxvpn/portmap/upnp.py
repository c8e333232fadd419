"""Mappings by UPnP: finds the router's service by a search, and asks it over HTTP.

In: a router and our port. Out: what it grants. wire/router/igd.py has the texts. Nothing is sent to
another host than the router, whatever it says, but the search, which goes to its group on this network too.
"""

import asyncio
import contextlib
import secrets
import socket
from http.client import HTTPException, HTTPResponse
from io import BytesIO
from typing import Any, cast

from ..wire.router import igd
from .protocol import Asked, GrantedPort, NoAnswerError, NotMappedError

SEARCH_S = 1.2
"""A router may wait for a second before it answers (MX: 1)."""
ANSWER_S = 3.0
"""Also where the router leaves the connection open after its answer."""
MOST_WRONG = 64
PORTS = 3
"""Outer ports that are tried: our own number, then ones at random."""
FIRST_RANDOM_PORT = 1024
FOR_EVER = "it maps ports for ever alone, which would outlive this run"


class Upnp:
    """A mapping by UPnP."""

    name = "UPnP"

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._service: igd.PortService | None = None
        self._outer_port: int | None = None

    async def ask(self, lifetime_s: int) -> GrantedPort:
        try:
            service = self._service or await self._find()
            address = igd.address_untrusted(await self._exchange(service.place, igd.address_request(service)))
            if address is None:
                raise NotMappedError("it has no network")
            port = await self._map(service, lifetime_s)
        except igd.FaultError as refusal:
            raise NotMappedError(str(refusal)) from refusal
        self._service, self._outer_port = service, port
        return GrantedPort(str(address), port, lifetime_s)

    async def release(self) -> None:
        if self._service is not None and self._outer_port is not None:
            await self._exchange(self._service.place, igd.unmap_request(self._service, self._outer_port))

    async def _map(self, service: igd.PortService, lifetime_s: int) -> int:
        """The outer port."""
        inner = self._asked.port
        ports = [self._outer_port or inner, *(_random_port() for _ in range(PORTS - 1))]
        for port in ports:
            request = igd.map_request(service, self._asked.gateway.own, inner, port, lifetime_s)
            try:
                igd.check_untrusted(await self._exchange(service.place, request))
            except igd.FaultError as refusal:
                if refusal.code == igd.ONLY_FOR_EVER:
                    raise NotMappedError(FOR_EVER) from refusal
                if refusal.code != igd.CONFLICT:
                    raise
            else:
                return port
        raise NotMappedError("the ports that were tried belong to others")

    async def _find(self) -> igd.PortService:
        place = await self._search()
        services = igd.services_untrusted(await self._exchange(place, igd.get_request(place)), place)
        if not services:
            raise NoAnswerError
        return services[0]

    async def _search(self) -> igd.OnRouter:
        loop, gateway, drops = asyncio.get_running_loop(), self._asked.gateway, self._asked.drops
        with gateway.socket(socket.SOCK_DGRAM) as udp:
            udp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(gateway.own))
            for search in igd.searches():
                for to in (gateway.host, igd.SEARCH_GROUP):
                    udp.sendto(search, (to, igd.SEARCH_PORT))
            try:
                async with asyncio.timeout(SEARCH_S):
                    for _ in range(MOST_WRONG):
                        answer, (host, _port) = await loop.sock_recvfrom(udp, 2048)
                        place = igd.found_untrusted(answer, gateway.host) if host == gateway.host else None
                        if place is not None:
                            return place
                        drops["unreadable" if host == gateway.host else "elsewhere"] += 1
            except TimeoutError:
                pass
        raise NoAnswerError

    async def _exchange(self, place: igd.OnRouter, request: bytes) -> bytes:
        """The body of the answer. Raises NoAnswerError, OSError."""
        loop = asyncio.get_running_loop()
        received = bytearray()
        with self._asked.gateway.socket(socket.SOCK_STREAM) as tcp, contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                await loop.sock_connect(tcp, (place.host, place.port))
                await loop.sock_sendall(tcp, request)
                while len(received) <= igd.MOST_BYTES and (part := await loop.sock_recv(tcp, igd.MOST_BYTES)):
                    received += part
        if len(received) > igd.MOST_BYTES:
            self._asked.drops["too-large"] += 1
        elif (body := body_untrusted(received)) is not None:
            return body
        raise NoAnswerError


def body_untrusted(received: bytes | bytearray) -> bytes | None:
    """The body of an answer; None: it is not whole, or not to be read."""

    class Received:
        def makefile(self, mode: str) -> BytesIO:
            return BytesIO(received)

    try:
        response = HTTPResponse(cast(Any, Received()))
        response.begin()
        return response.read()
    except (HTTPException, ValueError, OSError, OverflowError):  # the last: a length of 20 digits
        return None


def _random_port() -> int:
    return FIRST_RANDOM_PORT + secrets.randbelow(65536 - FIRST_RANDOM_PORT)
