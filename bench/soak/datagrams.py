"""Datagrams that an echo returns: what comes back is what was sent, once, or it is lost."""

import asyncio
import contextlib
import socket
from dataclasses import dataclass
from random import Random

from .content import Content

SEED_BYTES, LENGTH_BYTES = 8, 2
HEADER_BYTES = SEED_BYTES + LENGTH_BYTES
LARGEST_BYTES = 3000
"""More than one packet of any path."""
LAST_S = 1.0


@dataclass(frozen=True, slots=True)
class Echoed:
    sent: int
    back: int
    wrong: int


def datagram(random: Random) -> bytes:
    """One that tells by itself whether it was changed: its content follows from its header."""
    header = random.randbytes(SEED_BYTES) + random.randint(HEADER_BYTES, LARGEST_BYTES).to_bytes(LENGTH_BYTES)
    return header + _content(header)


def is_right(data: bytes) -> bool:
    header = data[:HEADER_BYTES]
    return len(header) == HEADER_BYTES and data == header + _content(header)


def _content(header: bytes) -> bytes:
    return Content(header).take(max(0, int.from_bytes(header[SEED_BYTES:]) - HEADER_BYTES))


async def exchange(sock: socket.socket, random: Random, count: int, pause_s: float) -> Echoed:
    """Sends `count` datagrams from a connected socket, and takes what comes back; closes the socket."""
    loop = asyncio.get_running_loop()
    back = wrong = 0

    async def receive() -> None:
        nonlocal back, wrong
        while True:
            try:
                data = await loop.sock_recv(sock, 1 << 16)
            except OSError:  # an ICMP error of an earlier one
                continue
            back += 1
            wrong += not is_right(data)

    receiving = loop.create_task(receive())
    try:
        for _ in range(count):
            with contextlib.suppress(OSError):  # no route for the moment, or an ICMP error
                await loop.sock_sendall(sock, datagram(random))
            await asyncio.sleep(pause_s)
        await asyncio.sleep(LAST_S)
    finally:
        receiving.cancel()
        await asyncio.wait({receiving})
        sock.close()
    return Echoed(count, back, wrong)


async def echo(sock: socket.socket) -> None:
    """Sends each datagram back, until it is cancelled; closes the socket."""
    loop = asyncio.get_running_loop()
    try:
        while True:
            try:
                data, source = await loop.sock_recvfrom(sock, 1 << 16)
                await loop.sock_sendto(sock, data, source)
            except OSError:  # who asked has gone
                await asyncio.sleep(0)
    finally:
        sock.close()
