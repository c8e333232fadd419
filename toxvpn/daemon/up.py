"""`toxvpn up`: the VPN, unless it is up already."""

import asyncio
import logging
from pathlib import Path

from ..config.flags import DaemonOptions
from ..control.client import call as ask
from ..errors import ToxvpnError
from ..state.identity import IdentityInUseError
from ..state.places import find_places
from .daemon import serve

log = logging.getLogger("toxvpn")

ALREADY = "the network is up already, and nothing was changed: see `toxvpn status` or `toxvpn down`"
STARTING_S = 3.0
"""How long another process with our identity may take to say what it is, or to be done with it."""
LOOK_AGAIN_S = 0.1


async def up(options: DaemonOptions) -> None:
    """Returns at once, and changes nothing, when the network is up already."""
    loop = asyncio.get_running_loop()
    given_up_s = loop.time() + STARTING_S
    while True:
        try:
            return await serve(options)
        except IdentityInUseError:
            if _is_up(find_places(options.directory).runtime):
                log.info(ALREADY)
                return None
            if loop.time() > given_up_s:
                raise
        await asyncio.sleep(LOOK_AGAIN_S)


def _is_up(runtime: Path) -> bool:
    """Whether who holds the identity is a VPN."""
    try:
        answer = ask(runtime, "status")
    except ToxvpnError:
        return False
    return isinstance(answer, dict) and answer.get("self", {}).get("mode") == "up"
