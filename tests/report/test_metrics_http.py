"""GET /metrics on loopback: whom it answers, with what, and for how long it listens to nonsense."""

import asyncio
import socket
import urllib.error
import urllib.request
from collections.abc import AsyncIterator

import pytest

from toxvpn.errors import ToxvpnError
from toxvpn.report import metrics_http
from toxvpn.report.metrics_http import MAX_CLIENTS, respond, served

TEXT = "toxvpn_x 1.0\n"


@pytest.fixture
def port() -> int:
    """A free one on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        found: int = sock.getsockname()[1]
        return found


@pytest.fixture
async def running(port: int) -> AsyncIterator[int]:
    async with served(port, lambda: TEXT):
        yield port


async def exchange(port: int, request: bytes, host: str = "127.0.0.1") -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(request)
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


def ask(target: str = "/metrics", method: str = "GET", host: str | None = "localhost:9") -> str:
    """The answer's first line."""
    fields = "" if host is None else f"Host: {host}\r\n"
    head = f"{method} {target} HTTP/1.1\r\n{fields}\r\n"
    return respond(head.encode(), 9, lambda: TEXT).decode().partition("\r\n")[0]


async def test_a_scrape(running: int) -> None:
    def scrape() -> tuple[str, str]:
        with urllib.request.urlopen(f"http://localhost:{running}/metrics", timeout=10) as answer:
            return answer.headers["Content-Type"], answer.read().decode()

    kind, text = await asyncio.to_thread(scrape)
    assert kind.startswith("text/plain; version=0.0.4") and text == TEXT


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_on_both_loopback_addresses(running: int, host: str) -> None:
    answer = await exchange(running, b"GET /metrics HTTP/1.0\r\n\r\n", host)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n") and answer.endswith(TEXT.encode())


async def test_and_on_no_other(running: int) -> None:
    with pytest.raises(ConnectionRefusedError):
        await exchange(running, b"GET /metrics HTTP/1.0\r\n\r\n", "127.0.0.2")


async def test_nothing_listens_without_a_port_or_afterwards(port: int) -> None:
    async with served(None, lambda: TEXT):
        pass
    async with served(port, lambda: TEXT):
        pass
    with pytest.raises(ConnectionRefusedError):
        await exchange(port, b"")


async def test_a_port_in_use_is_told(running: int) -> None:
    with pytest.raises(ToxvpnError, match="the port is in use"):
        async with served(running, lambda: TEXT):
            pass


def test_what_is_answered() -> None:
    assert ask() == ask("/metrics?x=1") == ask(host=None) == ask(host="[::1]:9") == "HTTP/1.1 200 OK"
    assert ask("/") == "HTTP/1.1 404 Not Found"
    assert ask(method="POST") == "HTTP/1.1 405 Method Not Allowed"
    assert respond(b"hello\r\n\r\n", 9, lambda: TEXT).startswith(b"HTTP/1.1 400 Bad Request")


def test_a_page_that_pretends_to_be_this_machine_gets_nothing() -> None:
    assert ask(host="evil.example:9") == "HTTP/1.1 403 Forbidden"


def test_head_has_no_body() -> None:
    answer = respond(b"HEAD /metrics HTTP/1.1\r\n\r\n", 9, lambda: TEXT)
    assert f"Content-Length: {len(TEXT)}\r\n".encode() in answer and answer.endswith(b"\r\n\r\n")


async def test_a_head_without_an_end_is_cut_off(running: int) -> None:
    assert await exchange(running, b"GET /" + b"x" * 20_000) == b""


async def test_who_says_nothing_is_hung_up_on(running: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_http, "DEADLINE_S", 0.05)
    assert await exchange(running, b"GET /") == b""


async def test_many_at_once_are_not_served(running: int) -> None:
    idle = [await asyncio.open_connection("127.0.0.1", running) for _ in range(MAX_CLIENTS)]
    assert await exchange(running, b"GET /metrics HTTP/1.1\r\n\r\n") == b""
    for _, writer in idle:
        writer.close()
        await writer.wait_closed()
