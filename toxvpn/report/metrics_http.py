"""Serves `--metrics-port`: GET /metrics over HTTP, for a Prometheus on this machine.

In: connections on 127.0.0.1 and ::1. Out: the metrics, made for each request in the loop that owns the node.
A request under another name than localhost, as a web page makes by DNS rebinding, is refused.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable

from ..tcpforward.listen import Listener
from ..tcpforward.spec import LOOPBACK, Listen, join_host_port

log = logging.getLogger("toxvpn.metrics")

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PATH = "/metrics"
MAX_HEAD_BYTES = 8192
DEADLINE_S = 5.0
"""How long one connection may take."""
MAX_CLIENTS = 8


@contextlib.asynccontextmanager
async def served(port: int | None, text: Callable[[], str]) -> AsyncIterator[None]:
    """Serves `text` at that port of loopback inside the `with`, if given. Raises ToxvpnError (in use)."""
    if port is None:
        yield
        return
    listener = Listener(Listen(LOOPBACK, port), lambda sock: _serve(sock, port, text, listener))
    listener.start()
    log.info("metrics: http://%s%s", join_host_port(LOOPBACK[0], port), PATH)
    try:
        yield
    finally:
        await listener.close()


async def _serve(sock: socket.socket, port: int, text: Callable[[], str], listener: Listener) -> None:
    if listener.connections > MAX_CLIENTS:
        return  # the listener closes the connection
    with contextlib.suppress(TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        async with asyncio.timeout(DEADLINE_S):
            reader, writer = await asyncio.open_connection(sock=sock, limit=MAX_HEAD_BYTES)
            try:
                writer.write(respond(await reader.readuntil(b"\r\n\r\n"), port, text))
                await writer.drain()
            finally:
                writer.close()
                await writer.wait_closed()


def respond(head: bytes, port: int, text: Callable[[], str]) -> bytes:
    """The response to a request with that head."""
    request, *fields = head.decode("latin-1").split("\r\n")
    method, _, rest = request.partition(" ")
    target, _, version = rest.partition(" ")
    if not version.startswith("HTTP/1."):
        return response("400 Bad Request", "expected an HTTP/1.1 request\n")
    if _host(fields) not in {None, *(join_host_port(host, port) for host in (*LOOPBACK, "localhost"))}:
        return response("403 Forbidden", "the Host must be localhost\n")
    if target.partition("?")[0] != PATH:
        return response("404 Not Found", f"the metrics are at {PATH}\n")
    if method not in ("GET", "HEAD"):
        return response("405 Method Not Allowed", "use GET\n", "Allow: GET, HEAD\r\n")
    return response("200 OK", text(), f"Content-Type: {CONTENT_TYPE}\r\n", head_only=method == "HEAD")


def _host(fields: list[str]) -> str | None:
    for field in fields:
        name, _, value = field.partition(":")
        if name.strip().lower() == "host":
            return value.strip().lower()
    return None


def response(status: str, text: str, fields: str = "", *, head_only: bool = False) -> bytes:
    body = text.encode()
    head = f"HTTP/1.1 {status}\r\n{fields}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + (b"" if head_only else body)
