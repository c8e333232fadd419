"""The control commands of every run: status, wait, ping, down.

In: requests from server.py, and calls that say that a peer has changed. Out: results, at once or later.
Neighbours: status_reader.py reads the status, daemon/control.py pings, peer_commands.py has those for peers.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address

from ..errors import PathError, PeerOfflineError, PeerRefusedError
from ..members.selector import find
from ..names.zone import bare_label
from ..tun.filters import Verdict
from .protocol import ControlRequest
from .server import ControlServer, Handler
from .status import PeerState, RunStatus, document

PING_S = 5.0
"""How long a ping waits for its answer when the request does not say."""

Ping = Callable[[bytes], Awaitable[float]]
"""Measure the round trip to the peer with that public key, in seconds. Raises PeerOfflineError."""


class RunCommands:
    """Registers its commands with `server`. `stop` asks the daemon to end and returns at once.

    `look` has the round trips measured anew.
    """

    def __init__(
        self,
        server: ControlServer,
        read_status: Callable[[], RunStatus],
        ping: Ping,
        stop: Callable[[], None],
        look: Callable[[], None] = lambda: None,
    ) -> None:
        self._read_status = read_status
        self._ping = ping
        self._stop = stop
        self._look = look
        self._server = server
        self._change = asyncio.Event()
        for do in (self.status, self.wait, self.ping, self.down):
            server.register(do.__name__, do)

    def explain_with(self, policy: Callable[[bytes, str], Verdict]) -> None:
        """Registers `policy`, which tells whether `peer` may reach `target` here over the VPN, and why."""

        async def explain(request: ControlRequest) -> object:
            peer = self._find(request.text("peer"))
            verdict = policy(peer.public_key, request.text("target"))
            return {"peer": peer.short, "allowed": verdict.allowed, "why": verdict.why}

        self._server.register("policy", explain)

    def changed(self, _: object = None) -> None:
        """Wakes the waiting commands. Call it when a peer came, went or changed its path (node.subscribe)."""
        self._change.set()  # wakes those who wait now
        self._change = asyncio.Event()

    async def status(self, request: ControlRequest) -> object:
        """The status now; with `look` the round trips are measured, for the next one."""
        if request.flag("look"):
            self._look()
        return document(self._read_status())

    async def down(self, _: ControlRequest) -> object:
        asyncio.get_running_loop().call_soon(self._stop)  # once the answer is on its way
        return None

    async def ping(self, request: ControlRequest) -> object:
        """Measure one round trip to `peer`, within `timeout_s`."""
        peer = self._find(request.text("peer"))
        timeout_s = request.optional_number("timeout_s")
        if not peer.online:
            raise PeerOfflineError(f"{peer.short} is offline")
        try:
            async with asyncio.timeout(PING_S if timeout_s is None else timeout_s):
                rtt_s = await self._ping(peer.public_key)
        except TimeoutError:
            raise PeerOfflineError(f"no answer from {peer.short} in time") from None
        after = self._find(peer.public_key.hex())  # its path may have changed
        return {
            "name": after.name,
            "public_key": after.public_key.hex().upper(),
            "address": str(after.ipv4 or after.ipv6 or ""),
            "path": after.path,
            "rtt_seconds": round(rtt_s, 6),
        }

    async def wait(self, request: ControlRequest) -> object:
        """Return when all of `peers`, or all configured ones, are usable (with `direct`: without a relay)."""
        selectors, direct = request.texts("peers"), request.flag("direct")
        timeout_s = request.optional_number("timeout_s")
        wanted = [self._find(selector).public_key for selector in selectors] or self._configured()
        try:
            async with asyncio.timeout(timeout_s):
                while self._missing(wanted, direct):
                    await self._change.wait()
        except TimeoutError:
            raise self._not_in_time(wanted, direct) from None
        return None

    def _configured(self) -> list[bytes]:
        keys = [peer.public_key for peer in self._read_status().peers if peer.configured]
        if not keys:
            raise PeerRefusedError(
                "there is no peer to wait for: name one, or add one with `toxvpn peer add`"
            )
        return keys

    def _missing(self, wanted: list[bytes], direct: bool) -> list[PeerState]:
        """The peers still missing, offline ones first; a peer that was removed counts as offline."""
        states = {peer.public_key: peer for peer in self._read_status().peers}
        found = [states.get(key, PeerState(public_key=key)) for key in wanted]
        missing = [peer for peer in found if not usable(peer) or (direct and not peer.direct)]
        return sorted(missing, key=usable)

    def _not_in_time(self, wanted: list[bytes], direct: bool) -> PeerOfflineError | PathError:
        missing = self._missing(wanted, direct)
        names = ", ".join(peer.short for peer in missing[:4]) + (", …" if len(missing) > 4 else "")
        if all(map(usable, missing)):
            return PathError(f"reached only over a relay, not directly: {names}")
        return PeerOfflineError(f"not reached in time: {names}")

    def _find(self, selector: str) -> PeerState:
        return find_named(selector, self._read_status().peers)


def find_named(text: str, peers: Sequence[PeerState]) -> PeerState:
    """As members/selector.py finds it, or else by its name on the network. Raises as that.

    What a peer calls itself comes last: it must not be taken for the first digits of another's key.
    """
    label = bare_label(text.strip())
    named = [each for each in peers if each.dns_name and bare_label(each.dns_name) == label]
    if named and label != text.strip().lower():
        return named[0]
    try:
        return find(text, peers, ipv4=ipv4_of)
    except PeerRefusedError:
        if not named:
            raise
    return named[0]


def usable(peer: PeerState) -> bool:
    return peer.online and peer.introduced


def ipv4_of(peer: PeerState) -> IPv4Address | None:
    return peer.ipv4


def answering(answer: Callable[[], object]) -> Handler:
    """A handler for a command without arguments."""

    async def handle(_: ControlRequest) -> object:
        return answer()

    return handle
