"""Checks the VPN: whether the peer's kernel answers at its addresses.

The program itself answers our pings (`toxvpn ping`), and most firewalls let ICMP pings through. So we open a
TCP connection to an unused port: a kernel that gets the SYN refuses it at once.
"""

import asyncio
from collections.abc import Iterable

from .peer_observations import VpnSeen

PORT = 1
"""tcpmux, which no host runs; any answer counts."""
ANSWER_S = 3.0
"""Long enough for the kernel to repeat a lost SYN once."""


async def check_vpn(
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
