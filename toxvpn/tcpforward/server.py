"""The serving side of forwards: what a peer may reach, and the connection to it."""

import logging
import socket
from collections.abc import Awaitable, Callable

from ..tox.peer import Peer
from ..wire.ip import UDP
from ..wire.socks5 import ReplyCode
from .builtin import SIGN, Builtins
from .ends import End, SocketEnd, socket_end
from .granted import Granted
from .lookup import LookUps
from .rules import Rules
from .target import Address, TargetRefusedError, allowed_addresses, connect_target
from .unix.paths import from_host, is_path
from .unix.target import connect_unix

log = logging.getLogger("toxvpn.tcpforward")

Serve = Callable[[Peer, str, int], Awaitable[End]]
"""Connects to host:port, or to a Unix socket, for a peer; raises TargetRefusedError.

It is called in the task that then carries the stream: cancelling that resets the stream, on either road.
"""

NOTHING_FOR_IT = (
    "it may not reach anything here; `toxvpn peer add KEY --may forwards` changes that, unless config.toml "
    "or -i forbids it"
)


class ForwardServer:
    """Connects peers to what they may reach: the roads call `serve` for each request.

    `may_reach` gives the rules for a public key, and is asked each time, and again about open streams by
    `judge_again`. `builtins` have rules of their own.
    """

    def __init__(self, may_reach: Callable[[bytes], Rules], builtins: Builtins | None = None) -> None:
        self._may_reach = may_reach
        self._builtins = builtins or Builtins()
        self._lookups = LookUps()
        self._granted = Granted()

    def judge_again(self) -> None:
        """Resets the streams to what their peers may not reach any more."""
        if count := self._granted.judge_again() + self._builtins.judge_again():
            log.info("streams to what their peers may not reach any more are reset: %d", count)

    async def serve(self, peer: Peer, host_untrusted: str, port: int) -> End:
        """Raises TargetRefusedError."""
        if host_untrusted.startswith(SIGN):
            return await self._builtins.connect(peer, host_untrusted, port)
        rules = self._rules(peer)
        if is_path(host_untrusted):
            unix = socket_end(await connect_unix(host_untrusted, rules))
            path = from_host(host_untrusted)
            return self._granted.end(unix, lambda: self._may_reach(peer.public_key).allows_path(path))
        sock = await connect_target(host_untrusted, port, rules, self._lookups.of(peer))
        address = _address_of(sock)
        return self._granted.end(
            SocketEnd(sock),
            lambda: self._may_reach(peer.public_key).allows_at(host_untrusted, address, port),
        )

    def serves(self, public_key: bytes) -> bool:
        """Whether it may reach anything at all."""
        return self._may_reach(public_key).rules != () or self._builtins.leads(public_key)

    async def datagram_addresses(self, peer: Peer, host_untrusted: str, port: int) -> list[Address]:
        """The addresses that its datagrams may go to (udp/server.py). Raises TargetRefusedError."""
        if host_untrusted.startswith(SIGN):
            return await self._builtins.datagram_addresses(peer, host_untrusted, port)
        rules = self._rules(peer)
        return await allowed_addresses(host_untrusted, port, rules, self._lookups.of(peer), UDP)

    def allows_datagrams(self, peer: Peer, host_untrusted: str, port: int, address: str) -> bool:
        """Whether its datagrams to host:port may go to that address of it, still."""
        if host_untrusted.startswith(SIGN):
            return self._builtins.allows_datagrams(peer, host_untrusted, port, address)
        return self._may_reach(peer.public_key).allows_at(host_untrusted, address, port, UDP)

    def _rules(self, peer: Peer) -> Rules:
        """Raises TargetRefusedError."""
        rules = self._may_reach(peer.public_key)
        if rules.rules == ():
            raise TargetRefusedError(ReplyCode.NOT_ALLOWED, NOTHING_FOR_IT)
        return rules


def _address_of(target: socket.socket) -> str:
    """Without a zone; empty when the target has reset the connection already."""
    try:
        return str(target.getpeername()[0]).partition("%")[0]
    except OSError:
        return ""
