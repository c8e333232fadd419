"""`toxvpn up`: the VPN, unless it is up already."""

import logging
from pathlib import Path

from ..config import UpOptions
from ..control.client import call as ask
from ..errors import ToxvpnError
from ..tox.identity import IdentityInUseError
from ..tox.places import find_places
from .whole import whole

log = logging.getLogger("toxvpn")


async def up(options: UpOptions) -> None:
    """Returns at once, and changes nothing, when the network is up already."""
    try:
        await whole(options)
    except IdentityInUseError:
        if not _is_up(find_places(options.directory).runtime):
            raise
        log.info("the network is up already, and nothing was changed: see `toxvpn status` or `toxvpn down`")


def _is_up(runtime: Path) -> bool:
    """Whether who holds the identity is a VPN."""
    try:
        answer = ask(runtime, "status")
    except ToxvpnError:
        return False
    return isinstance(answer, dict) and answer.get("self", {}).get("mode") == "up"
