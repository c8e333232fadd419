"""The doctor's look through the VPN: does the peer's kernel answer what is sent to its addresses there?

A ping of ours (`toxvpn ping`) is answered by the program, and an ICMP one by most firewalls' defaults. So
the question is a TCP connection to a port that nobody has: a kernel that gets it refuses at once.
"""

import asyncio
from collections.abc import Iterable

from .observations import VpnSeen

PORT = 1
"""tcpmux, which nobody runs; an answer of any kind will do."""
ANSWER_S = 3.0
"""Long enough for the kernel to send a lost SYN once more."""


async def through_vpn(
    interface: str, addresses: Iterable[str], port: int = PORT, *, stated: bool = True
) -> VpnSeen:
    asked = list(addresses)
    answers = await asyncio.gather(*(answers_at(address, port) for address in asked))
    return VpnSeen(
        interface,
        tuple(address for address, answered in zip(asked, answers, strict=True) if answered),
        tuple(address for address, answered in zip(asked, answers, strict=True) if not answered),
        stated,
    )


async def answers_at(address: str, port: int) -> bool:
    try:
        async with asyncio.timeout(ANSWER_S):
            _, writer = await asyncio.open_connection(address, port)
    except ConnectionRefusedError:
        return True
    except OSError:  # TimeoutError is one
        return False
    writer.close()
    return True
