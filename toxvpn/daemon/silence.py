"""Says of a peer that is called without a secret that it does not answer.

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
TEXT = (
    "no answer in %g s: it is not running, or does not let this machine in; there, `toxvpn peer list` shows "
    "who has asked, and `toxvpn peer accept %s` lets this machine in"
)


@contextlib.contextmanager
def silence_told(node: Node, peer: Peer) -> Iterator[None]:
    """Logs one line if the peer has not answered by then and this machine is on the network."""

    def tell() -> None:
        if node.connection is not Connection.NONE and not peer.online:
            peer.log(log, logging.WARNING, TEXT, SILENCE_S, short_key(node.tox.public_key))

    timer = asyncio.get_running_loop().call_later(SILENCE_S, tell)
    try:
        yield
    finally:
        timer.cancel()
