"""`toxvpn up`: the VPN."""

import logging
from pathlib import Path

from ..config import UpOptions
from ..control.client import call as ask
from ..errors import ToxvpnError
from ..tcpforward.lossless import LosslessRoad
from ..tox.friends import Authority
from ..tox.identity import IdentityInUseError
from ..tox.places import find_places, make
from ..tun.vpn import JOURNAL_NAME, Vpn, VpnOptions
from .base import base
from .control import Source, controlled

log = logging.getLogger("toxvpn")


async def up(options: UpOptions) -> None:
    """Returns at once, and changes nothing, when the network is up already."""
    places = find_places(options.directory)
    try:
        async with base(options, places.data) as run:
            roster = run.roster(Authority(secret=options.secret), options.peers)
            if options.name is not None:
                run.announcement.set(name=options.name)
            lossless = LosslessRoad(run.node)  # for pings; nothing is served
            journal = make(places.runtime) / JOURNAL_NAME
            with Vpn(run.node, run.announcement, _vpn_options(options), journal) as vpn:
                source = Source(run, "up", roster, vpn)
                async with controlled(run, places.runtime, source, lossless, roster):
                    roster.start()
                    run.node.start()
                    _tell(vpn, run.node.tox.address)
                    run.life.ready()
                    await run.stopping.wait()
            await lossless.close()
    except IdentityInUseError:
        if not _is_up(places.runtime):
            raise
        log.info("the network is up already, and nothing was changed: see `toxvpn status` or `toxvpn down`")


def _vpn_options(options: UpOptions) -> VpnOptions:
    chosen = VpnOptions(interface=options.interface, address=options.address)
    return chosen if options.mtu is None else VpnOptions(options.interface, options.address, options.mtu)


def _is_up(runtime: Path) -> bool:
    """Whether who holds the identity is a VPN."""
    try:
        answer = ask(runtime, "status")
    except ToxvpnError:
        return False
    return isinstance(answer, dict) and answer.get("self", {}).get("mode") == "up"


def _tell(vpn: Vpn, address: bytes) -> None:
    own = [str(each) for each in (vpn.router.own_ipv4, vpn.ipv6) if each is not None]
    log.info("%s is up: %s", vpn.device.name, ", ".join(own))
    log.info("this machine's Tox ID: %s", address.hex().upper())
