"""Datagrams that an echo returns: what comes back is what was sent, or it is lost."""

import asyncio
import contextlib
import socket
from dataclasses import dataclass
from random import Random

HEADER_BYTES = 8
LARGEST_BYTES = 3000
"""More than one packet of any path."""
LAST_S = 1.0


@dataclass(frozen=True, slots=True)
class Echoed:
    sent: int
    back: int
    wrong: int


async def exchange(sock: socket.socket, random: Random, count: int, pause_s: float) -> Echoed:
    """Sends `count` datagrams from a connected socket, and takes what comes back; closes the socket."""
    loop = asyncio.get_running_loop()
    waiting: dict[bytes, bytes] = {}
    back = wrong = 0

    async def receive() -> None:
        nonlocal back, wrong
        while True:
            try:
                data = await loop.sock_recv(sock, 1 << 16)
            except OSError:  # an ICMP error of an earlier one
                continue
            back += 1
            wrong += waiting.get(data[:HEADER_BYTES]) != data

    receiving = loop.create_task(receive())
    try:
        for _ in range(count):
            data = random.randbytes(random.randint(HEADER_BYTES, LARGEST_BYTES))
            waiting[data[:HEADER_BYTES]] = data
            with contextlib.suppress(OSError):  # no route for the moment, or an ICMP error
                await loop.sock_sendall(sock, data)
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
