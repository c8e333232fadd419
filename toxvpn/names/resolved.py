"""Has systemd-resolved ask our DNS server for the zone, by its settings of our link.

In: the link, the server, and the domains that are to go there. Out: calls of resolved's D-Bus interface
(org.freedesktop.resolve1(5)). The settings end with the link, also after a kill. They are made again when
resolved has been restarted, or when another program has taken them away. resolved is not started for this.
"""

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jeepney import DBusAddress, DBusErrorResponse, MatchRule, MessageFlag, new_method_call
from jeepney.auth import AuthenticationError
from jeepney.bus_messages import message_bus
from jeepney.io.asyncio import DBusRouter, open_dbus_connection
from jeepney.io.common import RouterClosed
from jeepney.wrappers import unwrap_msg

from ..wire.ratelimit import RateLimit
from .zone import DOMAIN, Address

log = logging.getLogger("toxvpn.names")

NAME = "org.freedesktop.resolve1"
MANAGER = DBusAddress("/org/freedesktop/resolve1", NAME, f"{NAME}.Manager")
LINK = f"{NAME}.Link"
FIRST_PROCESS = Path("/proc/1/net")
ANSWER_S = 10.0
CLOSING_S = 1.0
LINK_S, LINK_TRIES = 0.2, 25
"""A new link is known to resolved a moment after it is there."""
REPAIRS_AT_ONCE, REPAIRS_PER_S = 5, 1 / 10
"""Another program may keep taking away what is put back here."""
DENIED = ("AccessDenied", "InteractiveAuthorizationRequired", "AuthFailed")


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """The link by its present name and its index; `domains` are asked of the server only."""

    interface: str
    index: int
    server: Address
    port: int
    domains: tuple[str, ...]

    def calls(self) -> list[tuple[str, str, tuple[Any, ...]]]:
        """Name, signature and arguments of each method to call."""
        family = socket.AF_INET6 if self.server.version == 6 else socket.AF_INET
        server = (int(family), self.server.packed, self.port, "")
        return [
            ("SetLinkDefaultRoute", "ib", (self.index, False)),
            ("SetLinkLLMNR", "is", (self.index, "no")),  # no multicast reaches the peers
            ("SetLinkDNSOverTLS", "is", (self.index, "no")),
            ("SetLinkDNSSEC", "is", (self.index, "no")),  # the zone is not signed
            ("SetLinkDomains", "ia(sb)", (self.index, [(each, True) for each in self.domains])),
            ("SetLinkDNSEx", "ia(iayqs)", (self.index, [server])),
        ]

    def by_hand(self) -> str:
        """What root can type instead."""
        at = f"[{self.server}]" if self.server.version == 6 else str(self.server)
        return (
            f"sudo resolvectl dns {self.interface} {at}:{self.port} && "
            f"sudo resolvectl domain {self.interface} '~{DOMAIN}'"
        )


class ResolvedLink:
    """Keeps the settings in force from `set` until `close`; `on_change` is called when `state` changes."""

    def __init__(
        self, on_change: Callable[[], None] = lambda: None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.state: bool | None = None
        """Whether resolved asks us; None while it is not known: no resolved has been found yet."""
        self._on_change = on_change
        self._clock = clock
        self._wanted: LinkSettings | None = None
        self._made: LinkSettings | None = None
        self._look: asyncio.Queue[object] = asyncio.Queue(1)
        self._repairs = RateLimit(REPAIRS_PER_S, REPAIRS_AT_ONCE)
        self.problem = ""
        """Why it refuses; empty while it does not."""
        self._task: asyncio.Task[None] | None = None

    def set(self, settings: LinkSettings) -> None:
        """Returns at once. Needs a running loop."""
        if settings == self._wanted:
            return
        self._wanted = settings
        self._look_again()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Takes the settings back, unless resolved takes too long."""
        if self._task is None:
            return
        self._wanted = None
        self._look_again()
        await asyncio.wait([self._task], timeout=CLOSING_S)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None

    def _look_again(self) -> None:
        with contextlib.suppress(asyncio.QueueFull):
            self._look.put_nowait(None)

    async def _run(self) -> None:
        while self._wanted is not None:
            try:
                async with await open_dbus_connection("SYSTEM") as connection, DBusRouter(connection) as bus:
                    await self._keep(bus)
            except (OSError, EOFError, RouterClosed, AuthenticationError, TimeoutError) as error:
                self._made = None
                self._set_state(False)
                log.debug("the system's D-Bus cannot be used: %s", error)
            if self._wanted is not None:
                await self._look.get()  # with the next change it may be there

    async def _keep(self, bus: DBusRouter) -> None:
        owner = MatchRule(
            type="signal", sender=message_bus.bus_name, interface=message_bus.interface,
            member="NameOwnerChanged",
        )  # fmt: skip
        owner.add_arg_condition(0, NAME)
        changes = MatchRule(
            type="signal", interface="org.freedesktop.DBus.Properties", member="PropertiesChanged",
            path=MANAGER.object_path,
        )  # fmt: skip
        for rule in (owner, changes):
            await _call(bus, message_bus.AddMatch(rule))
        with bus.filter(owner, queue=self._look), bus.filter(changes, queue=self._look):
            while self._wanted is not None:
                await self._look_after(bus, self._wanted)
                await self._look.get()
            if self._made is not None:
                with contextlib.suppress(DBusErrorResponse):  # the link is gone
                    await _call(bus, _manager("RevertLink", "i", (self._made.index,)))

    async def _look_after(self, bus: DBusRouter, wanted: LinkSettings) -> None:
        """Makes the settings unless they are in force, or nobody is there to make them."""
        if not (await _call(bus, message_bus.NameHasOwner(NAME)))[0]:
            self._made = None
            self._set_state(False)
            return
        if self._made == wanted:
            if await _in_force(bus, wanted) or not self._repairs.take(self._clock()):
                return
            log.info("%s is put back into systemd-resolved's settings of %s", DOMAIN, wanted.interface)
        try:
            await self._make(bus, wanted)
        except DBusErrorResponse as error:
            self._made = None
            self._report(explain(error, wanted))
            self._set_state(False)
        else:
            self._made, self.problem = wanted, ""
            self._set_state(True)

    async def _make(self, bus: DBusRouter, wanted: LinkSettings) -> None:
        for name, signature, arguments in wanted.calls():
            for left in reversed(range(LINK_TRIES)):
                try:
                    await _call(bus, _manager(name, signature, arguments))
                    break
                except DBusErrorResponse as error:
                    if left == 0 or not error.name.endswith(".NoSuchLink"):
                        raise
                await asyncio.sleep(LINK_S)

    def _report(self, problem: str) -> None:
        """Once per problem."""
        if problem != self.problem:
            self.problem = problem
            log.warning("%s", problem)

    def _set_state(self, state: bool) -> None:
        if state != self.state:
            self.state = state
            self._on_change()


def hears_of(address: Address, index: int, tables: Path = FIRST_PROCESS) -> bool:
    """Whether resolved is in this network namespace: to it, our index would be another link's elsewhere.

    It is where process 1 is, whose namespace has that address of ours, or not. True where process 1 is
    hidden, as from our own service, which it has started.
    """
    try:
        if address.version == 6:
            lines = (tables / "if_inet6").read_text().splitlines()
            return [address.packed.hex(), f"{index:02x}"] in (line.split()[:2] for line in lines)
        return f"|-- {address}\n" in (tables / "fib_trie").read_text()
    except OSError:
        return True


def explain(error: DBusErrorResponse, wanted: LinkSettings) -> str:
    """Why resolved refuses the settings, and what to do."""
    start = f"systemd-resolved does not ask {wanted.interface} for *.{DOMAIN}"
    kind = error.name.rpartition(".")[2]
    if kind == "LinkBusy":
        return f"{start}: systemd-networkd manages that link; exclude it there (Unmanaged=yes)"
    if kind in DENIED:
        rule = "docs/howto/names.md has a polkit rule"
        return f"{start}: this user may not tell it to ({rule}); {wanted.by_hand()}"
    return f"{start}: {error.data[0] if error.data else kind}; {wanted.by_hand()}"


def _manager(name: str, signature: str, arguments: Sequence[Any]) -> Any:
    return new_method_call(MANAGER, name, signature, tuple(arguments))


async def _in_force(bus: DBusRouter, wanted: LinkSettings) -> bool:
    try:
        (path,) = await _call(bus, _manager("GetLink", "i", (wanted.index,)))
        link = DBusAddress(path, NAME, "org.freedesktop.DBus.Properties")
        ((_, domains),) = await _call(bus, new_method_call(link, "Get", "ss", (LINK, "Domains")))
    except DBusErrorResponse:
        return False
    return {(each, True) for each in wanted.domains} <= set(domains)


async def _call(bus: DBusRouter, message: Any) -> tuple[Any, ...]:
    """The values of the reply. Raises DBusErrorResponse, RouterClosed, OSError, TimeoutError."""
    message.header.flags |= MessageFlag.no_auto_start
    async with asyncio.timeout(ANSWER_S):
        values: tuple[Any, ...] = unwrap_msg(await bus.send_and_get_reply(message))
    return values
