"""Keeps the names of a running network up to date wherever programs of this machine look them up.

In: the members of the network and our link, read anew whenever somebody says that they may have changed.
Out: the DNS server on our addresses, the settings of systemd-resolved, and the block in /etc/hosts.
Neighbour: daemon/names.py, which knows the network.
"""

import asyncio
import logging
import math
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Protocol

from ..errors import ToxvpnError
from ..wire.addressing import OVERLAY_IPV6
from ..wire.toxid import short_key
from .label import label_of
from .listen import DNS_PORT, Listening, SocketMaker, is_from_here, listen
from .resolved import LinkSettings, ResolvedLink, hears_of
from .server import DnsDrop, DnsServer
from .zone import DOMAIN, Address, Zone, ZoneMember, full_name, reverse_name

log = logging.getLogger("toxvpn.names")

BATCH_S, PAUSE_S, AT_ONCE = 0.05, 1.0, 8
"""Changes come in groups, and a peer that keeps changing its name is not to keep the disk busy.

After a quiet time so many are taken at once, as of a start: who has waited for a peer then asks for its name.
"""
OVERLAY_REVERSE = ".".join(reverse_name(OVERLAY_IPV6[0]).split(".")[-2 - OVERLAY_IPV6.prefixlen // 4 :])
SETTLED_S = 3.0
"""systemd-resolved may only be restarting."""
MAX_REVERSE = 200
"""systemd-resolved 252 takes 256 domains for a link."""


@dataclass(frozen=True, slots=True)
class NamedLink:
    """Our device, and our addresses on it, the one for systemd-resolved first."""

    interface: str
    index: int
    addresses: tuple[Address, ...]


class HostsFile(Protocol):
    """/etc/hosts; tun/host/netconf.py has it."""

    def set_hosts(self, mark: str, lines: Sequence[str]) -> None: ...
    def remove_hosts(self, mark: str) -> None: ...


class NameKeeper:
    """On from construction until `close`; needs a running loop. `mark` is that of our block in /etc/hosts.

    `members` has this machine first. Without `on_host` the network is not the host's own, whose
    systemd-resolved and /etc/hosts then hear nothing of it.
    """

    def __init__(
        self,
        members: Callable[[], Sequence[ZoneMember]],
        link: Callable[[], NamedLink],
        file: HostsFile,
        mark: str,
        make_socket: SocketMaker = socket.socket,
        port: int = DNS_PORT,
        on_host: bool = True,
    ) -> None:
        self._members = members
        self._link = link
        self._file = file
        self._mark = mark
        self._make_socket = make_socket
        self._port = port
        self._on_host = on_host
        self._hosts = False
        self._seen: tuple[ZoneMember, ...] = ()
        self._zone = Zone()
        self._server = DnsServer(lambda: self.zone, lambda source: is_from_here(source, make_socket))
        self._listening: dict[Address, Listening] = {}
        self._resolved = ResolvedLink(self._on_resolved)
        self._said: dict[object, str] = {}
        self._loop = asyncio.get_running_loop()
        self._soon: asyncio.TimerHandle | None = None
        self._next_s = -math.inf
        self._closed = False

    @property
    def zone(self) -> Zone:
        """As it is now."""
        members = tuple(self._members())
        if members != self._seen:
            self._seen, self._zone = members, Zone.of(members)
        return self._zone

    @property
    def drops(self) -> Counter[DnsDrop]:
        return self._server.drops

    def problem(self, public_key: bytes) -> str | None:
        """Why a machine has not the name that it is called, and what to do about it."""
        return name_problems(self.zone, self._seen).get(public_key)

    def keep_hosts(self, hosts: bool) -> None:
        """Whether the names are to be in /etc/hosts too."""
        self._hosts = hosts and self._on_host
        self.refresh()

    def refresh(self, _: object = None) -> None:
        """Says that members or link may have changed."""
        if self._soon is None and not self._closed:
            self._soon = self._loop.call_at(max(self._next_s, self._loop.time() + BATCH_S), self._refresh)

    async def close(self) -> None:
        self._closed = True
        if self._soon is not None:
            self._soon.cancel()
        self._server.close()
        await self._resolved.close()
        self._set_hosts(None)

    def _refresh(self) -> None:
        self._soon = None
        self._next_s = max(self._next_s, self._loop.time() - AT_ONCE * PAUSE_S) + PAUSE_S
        zone, link = self.zone, self._link()
        for key, problem in name_problems(zone, self._seen).items():
            if key not in self._said:  # once for each: what a peer calls itself may change all the time
                ours = key == self._seen[0].public_key
                self._say(key, problem if ours else f"peer {short_key(key)}: {problem}", logging.INFO)
        self._listen(link.addresses)
        self._set_hosts(list(zone.lines()) if self._hosts else None)
        first = next((self._listening[each] for each in link.addresses if each in self._listening), None)
        if first is None or not self._on_host:
            return
        if not hears_of(first.address, link.index):  # as in a container
            self._say_nobody_asks()
        else:
            self._resolved.set(
                LinkSettings(link.interface, link.index, first.address, first.port, domains_of(zone))
            )

    def _listen(self, addresses: Iterable[Address]) -> None:
        for old in set(self._listening) - set(addresses):
            self._server.remove(*self._listening.pop(old).sockets)
        for new in addresses:
            if new in self._listening:
                continue
            try:
                listening = listen(new, self._port, self._make_socket)
            except OSError as error:  # the device is down; another change follows when it is up
                log.debug("no DNS server on %s: %s", new, error)
                continue
            self._listening[new] = listening
            self._server.add(*listening.sockets)
            if listening.problem is not None:
                level = logging.WARNING if listening.taken else logging.DEBUG
                self._say(new, f"{listening.problem}; names are served at port {listening.port} there", level)

    def _set_hosts(self, lines: list[str] | None) -> None:
        try:
            if lines is None:
                self._file.remove_hosts(self._mark)
            else:
                self._file.set_hosts(self._mark, lines)
        except ToxvpnError as error:
            self._say("hosts", f"names are not in /etc/hosts: {error}", logging.WARNING)

    def _on_resolved(self) -> None:
        if self._resolved.state:
            self._say("resolved", f"systemd-resolved asks this machine for *.{DOMAIN}", logging.INFO)
        else:
            self._loop.call_later(SETTLED_S, self._say_nobody_asks)

    def _say_nobody_asks(self) -> None:
        told = self._resolved.state or self._resolved.problem
        if not (self._closed or told or self._hosts) and self._listening:
            first = next(iter(self._listening.values()))
            self._say(
                "resolved",
                f"no program here looks up *.{DOMAIN} by itself, as systemd-resolved does not do it: "
                f"--hosts keeps the names in /etc/hosts, or ask {first.address} port {first.port}",
                logging.INFO,
            )

    def _say(self, about: object, text: str, level: int) -> None:
        """Logs once per change."""
        if self._said.get(about) != text:
            self._said[about] = text
            log.log(level, "%s", text)


def domains_of(zone: Zone) -> tuple[str, ...]:
    """The domains that are asked here only: the names, and the addresses of the network."""
    single = sorted(reverse_name(each) for each in zone.names if isinstance(each, IPv4Address))
    return (DOMAIN, OVERLAY_REVERSE, *single[:MAX_REVERSE])


def name_problems(zone: Zone, members: Sequence[ZoneMember]) -> dict[bytes, str]:
    """Why machines have not the names that they are called, by public key; the first is this machine."""
    found = {}
    for number, each in enumerate(members):
        key, label = short_key(each.public_key), zone.labels.get(each.public_key)
        who = "it" if number else "this machine"
        remedy = f"`toxvpn peer name {key} NAME` gives it one" if number else "`name` in [vpn] gives it one"
        called = each.given or each.stated
        if (refusal := zone.refused.get(each.public_key)) is not None:
            why = f"has no name on the network, as {called!r} is not used: {refusal}"
        elif label is not None and label not in (label_of(each.given or ""), label_of(each.stated)):
            why = f"is {full_name(label)}, for {called!r} is another machine's"
        elif number == 0 and label is None:
            why = "has no name on the network, as its host name cannot be one"
        else:
            continue
        found[each.public_key] = f"{who} {why}; {remedy}"
    return found
