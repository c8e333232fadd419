"""Says why nothing comes of a call: this machine is not on the Tox network, or the peer does not answer.

Tox does not tell "off" from "refused". Who calls with a secret or an invite is let in by it; without one, it
may take a person at the other machine, who should be asked before a minute has passed.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterator

from .._native.results import Connection
from ..tox.node import Node
from ..tox.peer import Peer
from ..wire.toxid import short_key

log = logging.getLogger("toxvpn")

SILENCE_S = 15.0
"""Connecting takes 3 to 10 s."""
NOT_ON_THE_NETWORK = (
    "not on the Tox network after %g s: no node has answered, or none announces this machine; "
    "`toxvpn doctor` says why"
)
NO_ANSWER = (
    "no answer in %g s: it is not running, or does not let this machine in: --secret-file FILE sends its "
    "secret; without one, `toxvpn peer list` there shows who has asked, and `toxvpn peer accept %s` lets "
    "this machine in"
)


@contextlib.contextmanager
def silence_told(node: Node, peer: Peer, *, let_in: bool) -> Iterator[None]:
    """Logs one line about what is missing by then. `let_in`: the peer needs to ask nobody."""

    def tell() -> None:
        if peer.online:
            return
        if node.connection is Connection.NONE:
            log.warning(NOT_ON_THE_NETWORK, SILENCE_S)
        elif not let_in:
            peer.log(log, logging.WARNING, NO_ANSWER, SILENCE_S, short_key(node.tox.public_key))

    timer = asyncio.get_running_loop().call_later(SILENCE_S, tell)
    try:
        yield
    finally:
        timer.cancel()
