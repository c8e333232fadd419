"""`toxvpn up`: the VPN, unless it is up already."""

import asyncio
import logging
from pathlib import Path
from typing import Any

from ..config.flags import DaemonOptions
from ..control.client import call
from ..errors import ToxvpnError
from ..process.lifecycle import Lifecycle
from ..state.identity import IdentityInUseError
from ..state.places import find_places
from .daemon import serve

log = logging.getLogger("toxvpn")

ALREADY = "the network is up already, and nothing was changed: see `toxvpn status` or `toxvpn down`"
NO_EXIT = "the network is up already, without an exit, and nothing was changed: `toxvpn down`, then again"
STARTING_S = 3.0
"""How long another process with our identity may take to answer, or to end."""
LOOK_AGAIN_S = 0.1


async def up(options: DaemonOptions, lifecycle: Lifecycle) -> None:
    """Serves the VPN. When the network is up already, returns at once and changes nothing.

    Raises ToxvpnError if it is up without an exit and one is wanted: nobody is to rely on that.
    """
    loop = asyncio.get_running_loop()
    given_up_s = loop.time() + STARTING_S
    while True:
        try:
            return await serve(options, lifecycle)
        except IdentityInUseError:
            running = _running(find_places(options.directory).runtime)
            if running is not None:
                if _wants_exit(options) and not running.get("exit"):
                    raise ToxvpnError(NO_EXIT) from None
                log.info(ALREADY)
                return None
            if loop.time() > given_up_s:
                raise
        await asyncio.sleep(LOOK_AGAIN_S)


def _running(runtime: Path) -> dict[str, Any] | None:
    """What the process that holds the identity says of itself, if it runs a VPN."""
    try:
        answer = call(runtime, "status")
    except ToxvpnError:
        return None
    own = answer.get("self", {}) if isinstance(answer, dict) else {}
    return own if own.get("mode") == "up" else None


def _wants_exit(options: DaemonOptions) -> bool:
    vpn = options.config_as_user().vpn
    return vpn is not None and bool(vpn.exit)
