"""The interface between the code that wants a stream and the roads its bytes can travel.

A road opens streams to host:port through a peer. Listeners, pipe mode and SOCKS5 use nothing
else, so they are written once for the tuntox road (tuntox/road.py) and the fast road (fast/road.py).
"""

import asyncio
import enum
from typing import TYPE_CHECKING, Protocol

from ..errors import ToxvpnError
from ..tox.node import Node
from ..tox.peer import Peer
from ..wire.socks5 import ReplyCode
from .ends import End

if TYPE_CHECKING:
    from .fast.road import FastRoad

STATUS_S = 15.0
"""Time limit for the peer's status message. Every program on toxcore sends one, perhaps empty, once it
knows that it is connected, which may take seconds; until then it receives nothing on either road."""


async def until_told(node: Node, peer: Peer) -> None:
    """Waits for the peer's status message, which says what program it runs; not longer than it is online."""
    deadline_s = node.now() + STATUS_S
    while peer.online and peer.status_text is None and node.now() < deadline_s:
        await asyncio.sleep(0.02)


class StreamOpenError(ToxvpnError):
    """The far side refused the stream, or did not answer in time."""

    def __init__(self, code: ReplyCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def refused(code: ReplyCode) -> StreamOpenError:
    """The error for a refusal: the peer sends the code alone, more would reveal names and addresses there."""
    more = "; its log says why" if code is ReplyCode.NOT_ALLOWED else ""
    return StreamOpenError(code, f"the peer says: {code.words}{more}")


class Ending(enum.Enum):
    """How a stream ended."""

    CLEAN = "closed"
    RESET = "reset"


class Stream(Protocol):
    """An open stream. Exactly one of `relay` and `abort` is called, once."""

    async def relay(self, local: End, first: bytes = b"") -> Ending:
        """Moves bytes both ways between it and `local` until both ends are done; closes both.

        `first` are bytes of the local end that were read already. A reset of one end resets the
        other, and so does cancelling.
        """

    def abort(self) -> None:
        """Resets the stream; the far side learns of it where the road can say so."""


class Road(Protocol):
    """One way to carry streams."""

    name: str

    async def open(self, peer: Peer, host: str, port: int) -> Stream:
        """Raises StreamOpenError; PeerOfflineError when the peer is lost meanwhile."""

    async def fast_road(self, peer: Peer) -> "FastRoad":
        """The fast road, for what the other one cannot carry. Raises ToxvpnError: it does not lead there."""
