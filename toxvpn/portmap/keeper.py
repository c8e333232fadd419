"""Keeps a mapping of this node's UDP port at the router: asks for it, renews it, and takes it back.

Only the gateway of the default route is asked, by PCP, NAT-PMP and UPnP in turn. A mapping is asked for
LEASE_S, so that it goes by itself after a kill. The outer endpoint goes to `on_change`; what the router says
is believed only as far as it may be true (wire/reach/mapped.py), and its lifetime within bounds.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from ..wire.reach.mapped import Endpoint, may_be_public
from .datagrams import NatPmp, Pcp
from .gateway import Gateway, find
from .protocol import Asked, GrantedPort, NoAnswerError, NotMappedError, PortMapping

log = logging.getLogger("toxvpn.portmap")

LEASE_S = 600
LEAST_RENEW_S, MOST_RENEW_S = 30.0, 300.0
"""Renewed after half of its lifetime, within these."""
GRACE_S = 1.0
"""A command that ends sooner asks nothing of the router."""
LOOK_S = 10.0
"""Interval of looks for another gateway."""
AGAIN_S, MOST_AGAIN_S = 60.0, 1920.0
"""After which a router that maps nothing is asked again; each time twice as long."""
RELEASE_S = 1.0
"""How long an end waits for the router."""


@dataclass(frozen=True, slots=True)
class MappingState:
    """`protocol` and `outer` are those of the mapping, None without one; `problem`: why there is none.

    `drops` counts what was dropped since the start, by reason.
    """

    gateway: str | None = None
    protocol: str | None = None
    outer: Endpoint | None = None
    problem: str | None = None
    drops: Mapping[str, int] = field(default_factory=dict)


class MappingKeeper:
    """One for each node. `begin` once it is on the network, `close` at the end.

    `port`: our UDP port. `mark`: that of toxcore's sockets. `drops` counts the
    router's answers, and others', that were dropped, by reason.
    """

    def __init__(
        self,
        port: int,
        on_change: Callable[[Endpoint | None], None],
        drops: Counter[str],
        mark: int = 0,
        grace_s: float = GRACE_S,
    ) -> None:
        self.drops = drops
        self._state = MappingState()
        self._port = port
        self._on_change = on_change
        self._mark = mark
        self._grace_s = grace_s
        self._task: asyncio.Task[None] | None = None
        self._mapping: PortMapping | None = None
        self._hurry = asyncio.Event()

    @property
    def state(self) -> MappingState:
        return replace(self._state, drops=dict(self.drops))

    @property
    def settled(self) -> bool:
        """Whether the router has been asked, with or without success."""
        return self._state.outer is not None or self._state.problem is not None

    def begin(self) -> None:
        """Idempotent."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep(), name="port mapping")

    def hurry(self) -> None:
        """Asks the router again now: this machine has slept or moved."""
        self._hurry.set()

    async def close(self) -> None:
        """Takes the mapping back, if the router answers soon. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._release()

    async def _keep(self) -> None:
        await asyncio.sleep(self._grace_s)
        again_s = AGAIN_S
        while True:
            gateway = find(self._mark)
            self._hurry.clear()
            if await self._map(gateway):
                again_s = AGAIN_S
                await self._hold(gateway)
            else:
                await self._stays(gateway, again_s)
                again_s = AGAIN_S if self._hurry.is_set() else min(again_s * 2, MOST_AGAIN_S)

    async def _map(self, gateway: Gateway | None) -> bool:
        """Whether there is a mapping now that is of use."""
        self._mapping = None
        if gateway is None:
            return self._has_none(MappingState(problem="there is no router: no default route"))
        if not gateway.translates:
            return self._has_none(
                MappingState(gateway.host, problem="not needed: this machine's address is public")
            )
        reason = "the router speaks neither PCP nor NAT-PMP nor UPnP"
        for mapping in protocols(Asked(gateway, self._port, self.drops)):
            try:
                granted = await mapping.ask(LEASE_S)
            except NotMappedError as refusal:
                reason = f"the router maps no port by {mapping.name}: {refusal}"
            except (NoAnswerError, OSError):
                continue
            else:
                self._mapping = mapping
                return await self._take(gateway, granted)
        return self._has_none(MappingState(gateway.host, problem=reason))

    async def _take(self, gateway: Gateway, granted: GrantedPort) -> bool:
        assert self._mapping is not None
        self._renew_s = min(max(granted.lifetime_s / 2, LEAST_RENEW_S), MOST_RENEW_S)
        if not may_be_public(granted.host) or not 0 < granted.port < 65536:
            reason = f"the router's own address {granted.host} is not public: another NAT is in front of it"
            await self._release()
            return self._has_none(MappingState(gateway.host, problem=reason))
        outer = granted.host, granted.port
        self._tell(MappingState(gateway.host, self._mapping.name, outer))
        return True

    async def _hold(self, gateway: Gateway | None) -> None:
        """Renews the mapping until the router or our address is another, or the router does not renew it."""
        assert gateway is not None and self._mapping is not None
        while await self._stays(gateway, self._renew_s):
            try:
                granted = await self._mapping.ask(LEASE_S)
            except (NotMappedError, NoAnswerError, OSError):
                return
            if not await self._take(gateway, granted):
                return

    async def _stays(self, gateway: Gateway | None, wait_s: float) -> bool:
        """Waits; whether the gateway and our address are still the same then."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + wait_s
        while (left_s := until_s - loop.time()) > 0 and not self._hurry.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), min(left_s, LOOK_S))
            if find(self._mark) != gateway:
                self._hurry.set()
                return False
        self._hurry.clear()
        return True

    async def _release(self) -> None:
        mapping, self._mapping = self._mapping, None
        if mapping is not None:
            with contextlib.suppress(NotMappedError, NoAnswerError, OSError, TimeoutError):
                async with asyncio.timeout(RELEASE_S):
                    await mapping.release()

    def _has_none(self, state: MappingState) -> bool:
        self._tell(state)
        return False

    def _tell(self, state: MappingState) -> None:
        if state != self._state:
            self._state = state
            if state.outer is not None:
                log.info("the router passes on UDP from %s:%d (%s)", *state.outer, state.protocol)
            else:
                log.info("no port mapping: %s", state.problem)
        self._on_change(state.outer)


def protocols(asked: Asked) -> Iterator[PortMapping]:
    """The ways to ask, in their order."""
    yield Pcp(asked)
    yield NatPmp(asked)
    from .upnp import Upnp  # loads HTTP and XML, which few need

    yield Upnp(asked)
