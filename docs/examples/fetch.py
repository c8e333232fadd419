"""Fetches what a peer can reach, with httpx: the peer looks the host up and connects, TLS ends here.

TOXVPN_SHARED_SECRET=<secret> python fetch.py <ToxID> http://localhost:8000/
"""

import asyncio
import os
import ssl
import sys
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx

import toxvpn


class PeerTransport(httpx.AsyncHTTPTransport):
    """Give it to httpx.AsyncClient: all of its requests go through that peer."""

    def __init__(self, node: toxvpn.Node, peer: toxvpn.Peer) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl.create_default_context(), network_backend=PeerBackend(node, peer)
        )


class PeerBackend(httpcore.AsyncNetworkBackend):
    """Makes the connections of httpcore, which httpx is built on."""

    def __init__(self, node: toxvpn.Node, peer: toxvpn.Peer) -> None:
        self._node = node
        self._peer = peer

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                return PeerStream(*await self._node.open_connection(self._peer, host, port))
        except TimeoutError as failure:
            raise httpcore.ConnectTimeout(f"{host}:{port} has not answered in time") from failure
        except toxvpn.ToxvpnError as failure:
            raise httpcore.ConnectError(str(failure)) from failure

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class PeerStream(httpcore.AsyncNetworkStream):
    """One connection, as httpcore uses it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            async with asyncio.timeout(timeout):
                return await self._reader.read(max_bytes)
        except TimeoutError as failure:
            raise httpcore.ReadTimeout from failure
        except OSError as failure:
            raise httpcore.ReadError(str(failure)) from failure

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        try:
            async with asyncio.timeout(timeout):
                self._writer.write(buffer)
                await self._writer.drain()
        except TimeoutError as failure:
            raise httpcore.WriteTimeout from failure
        except OSError as failure:
            raise httpcore.WriteError(str(failure)) from failure

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                await self._writer.start_tls(ssl_context, server_hostname=server_hostname)
        except TimeoutError as failure:
            raise httpcore.ConnectTimeout from failure
        except OSError as failure:
            raise httpcore.ConnectError(str(failure)) from failure
        return self

    async def aclose(self) -> None:
        self._writer.close()

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":  # asked of a connection that waits: is it over?
            return self._reader.at_eof()
        return self._writer.get_extra_info(info)


async def main(tox_id: str, url: str) -> None:
    async with toxvpn.node() as node:
        peer = node.peer(tox_id, secret=os.environ.get("TOXVPN_SHARED_SECRET"))
        await peer.connected()
        async with httpx.AsyncClient(transport=PeerTransport(node, peer)) as client:
            response = await client.get(url)
            response.raise_for_status()
            print(response.text, end="")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
