"""`toxvpn up`: the VPN, unless it is up already."""

import asyncio
import logging
from pathlib import Path

from ..config.flags import DaemonOptions
from ..control.client import call
from ..errors import ToxvpnError
from ..process.lifecycle import Lifecycle
from ..state.identity import IdentityInUseError
from ..state.places import find_places
from .daemon import serve

log = logging.getLogger("toxvpn")

ALREADY = "the network is up already, and nothing was changed: see `toxvpn status` or `toxvpn down`"
STARTING_S = 3.0
"""How long another process with our identity may take to answer, or to end."""
LOOK_AGAIN_S = 0.1


async def up(options: DaemonOptions, lifecycle: Lifecycle) -> None:
    """Serves the VPN. When the network is up already, returns at once and changes nothing."""
    loop = asyncio.get_running_loop()
    given_up_s = loop.time() + STARTING_S
    while True:
        try:
            return await serve(options, lifecycle)
        except IdentityInUseError:
            if _is_up(find_places(options.directory).runtime):
                log.info(ALREADY)
                return None
            if loop.time() > given_up_s:
                raise
        await asyncio.sleep(LOOK_AGAIN_S)


def _is_up(runtime: Path) -> bool:
    """Whether the process that holds the identity runs a VPN."""
    try:
        answer = call(runtime, "status")
    except ToxvpnError:
        return False
    return isinstance(answer, dict) and answer.get("self", {}).get("mode") == "up"
