"""Makes a Tox handle: savedata and options in, `Tox` out."""

import logging
from collections.abc import Callable
from dataclasses import replace
from random import Random

from .._native.net import netio
from .._native.options import Options
from .._native.results import PortError, SavedataError
from .._native.toxcore import Tox
from ..errors import ToxvpnError
from ..state.identity import Identity
from . import advisories
from .proxy import Proxy

log = logging.getLogger("toxvpn.toxcore")

RANDOM_PORTS = (20_000, 60_000)
"""On a port that another client has just left, connecting can take 100 s; on a fresh one 10 s."""
TRIED_PORTS = 100


def make_tox(
    identity: Identity,
    random: Random,
    udp_ports: tuple[int, int] | None = None,
    tcp_port: int | None = None,
    toxcore_log: bool = False,
    proxy: Proxy | None = None,
    udp_segmentation: bool | None = None,
    lan_discovery: bool = True,
    mark: int = 0,
) -> Tox:
    """A new handle. With a proxy all traffic goes through it: UDP is off.

    `udp_segmentation` None: on if the kernel does it right. Warns when strangers can harm this process.
    `mark`: see Options.

    Raises ConfigError (savedata), PortError (none of the asked ports is free), ToxError, and ToxvpnError if
    sockets cannot be marked here.
    """
    first = random.randrange(RANDOM_PORTS[0], RANDOM_PORTS[1] - TRIED_PORTS)
    options = Options(
        udp_ports=udp_ports or (first, first + TRIED_PORTS),
        tcp_port=tcp_port or 0,
        local_discovery=lan_discovery,
        log=_log_toxcore if toxcore_log else None,
        udp_segmentation=advisories.choose_segmentation(udp_segmentation),
        mark=mark,
    )
    hook = netio.hooks().sockets
    if mark and not hook.in_force:
        raise ToxvpnError(f"an exit needs a libtoxcore whose sockets toxvpn can mark: {hook.reason}")
    if proxy is not None:
        options = replace(
            options,
            udp=False,
            local_discovery=False,
            proxy_type=proxy.kind,
            proxy_host=proxy.host,
            proxy_port=proxy.port,
        )
    advisories.warn_if_exposed()
    try:
        return _with_or_without_ipv6(lambda chosen: Tox(chosen, identity.savedata), options)
    except SavedataError as failure:
        raise identity.unreadable(str(failure)) from failure


def _with_or_without_ipv6(make: Callable[[Options], Tox], options: Options) -> Tox:
    try:
        return make(options)
    except PortError:
        # a kernel without IPv6 cannot bind a dual-stack socket; for a port in use this fails again
        return make(replace(options, ipv6=False))


def _log_toxcore(level: int, place: str, text: str) -> None:
    log.debug("toxcore %s: %s", place, text)
