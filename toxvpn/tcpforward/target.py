"""Connects the serving side to a target: host and port in, a connected socket or a reason out.

The name is resolved here, on the server. Its addresses, as far as the rules allow them, are tried
one after another, the next one as soon as one fails or has kept us waiting (RFC 8305, "happy
eyeballs"), the first to connect wins. `relay.py` takes the socket over. By hand, not with
`aiohappyeyeballs`, because an error must keep its errno: the other side is told the reason.
"""

import asyncio
import errno
import os
import socket
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..errors import ToxvpnError
from ..wire.ip import TCP
from ..wire.socks5 import ReplyCode
from .lookup import LookUp, alone, numeric
from .rules import Rules
from .spec import host_is_sane, join_host_port

TIMEOUT_S = 10.0  # looking up and connecting together; a tuntox client waits 15 s
NEXT_ADDRESS_S = 0.25  # RFC 8305 §5, "Connection Attempt Delay"
MAX_ADDRESSES = 16

# What went wrong, in the words of RFC 1928 §6; anything else is a general failure.
CODES = {
    errno.EACCES: ReplyCode.NOT_ALLOWED,  # a firewall on our own machine
    errno.EPERM: ReplyCode.NOT_ALLOWED,
    errno.ENETUNREACH: ReplyCode.NETWORK_UNREACHABLE,
    errno.ENETDOWN: ReplyCode.NETWORK_UNREACHABLE,
    errno.EAFNOSUPPORT: ReplyCode.NETWORK_UNREACHABLE,  # no IPv6 here
    errno.EADDRNOTAVAIL: ReplyCode.NETWORK_UNREACHABLE,
    errno.EHOSTUNREACH: ReplyCode.HOST_UNREACHABLE,
    errno.EHOSTDOWN: ReplyCode.HOST_UNREACHABLE,
    errno.ECONNREFUSED: ReplyCode.CONNECTION_REFUSED,
    errno.ECONNRESET: ReplyCode.CONNECTION_REFUSED,
    errno.ETIMEDOUT: ReplyCode.TIMED_OUT,
}
# Reasons for failure, the most telling first: the one that came closest to the target.
_TELLING = (
    ReplyCode.CONNECTION_REFUSED,
    ReplyCode.TIMED_OUT,
    ReplyCode.HOST_UNREACHABLE,
    ReplyCode.NOT_ALLOWED,
    ReplyCode.NETWORK_UNREACHABLE,
    ReplyCode.GENERAL_FAILURE,
)


class TargetRefusedError(ToxvpnError):
    """No connection: `code` for the other side, `str()` for the log."""

    def __init__(self, code: ReplyCode, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Address:
    """One address of a target, numeric."""

    family: int
    sockaddr: tuple[Any, ...]

    def __str__(self) -> str:
        return join_host_port(self.sockaddr[0], self.sockaddr[1])


async def connect_target(
    host_untrusted: str,
    port: int,
    rules: Rules,
    look_up: LookUp | None = None,
    *,
    timeout_s: float = TIMEOUT_S,
) -> socket.socket:
    """A connected, non-blocking socket with TCP_NODELAY. Raises TargetRefusedError within `timeout_s`.

    `look_up` is `LookUps.of(peer)`; None: shares its limits with nobody.
    """
    addresses: list[Address] = []
    try:
        async with asyncio.timeout(timeout_s):
            addresses = await _allowed(host_untrusted, port, rules, look_up or alone())
            return await _first_to_connect(addresses)
    except TimeoutError:
        text = f"{join_host_port(host_untrusted, port)}: no answer in {timeout_s:g} s"
        tells = addresses or rules.allows(host_untrusted, port)
        raise TargetRefusedError(ReplyCode.TIMED_OUT if tells else ReplyCode.NOT_ALLOWED, text) from None


async def allowed_addresses(
    host_untrusted: str, port: int, rules: Rules, look_up: LookUp, protocol: int
) -> list[Address]:
    """The addresses of a target that the rules allow for that protocol, in the order to try.

    Raises TargetRefusedError within TIMEOUT_S.
    """
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await _allowed(host_untrusted, port, rules, look_up, protocol)
    except TimeoutError:
        text = f"{join_host_port(host_untrusted, port)}: no answer in {TIMEOUT_S:g} s"
        is_known = rules.allows(host_untrusted, port, protocol)
        code = ReplyCode.TIMED_OUT if is_known else ReplyCode.NOT_ALLOWED
        raise TargetRefusedError(code, text) from None


async def connect_first(hosts: Iterable[str], port: int, *, timeout_s: float = TIMEOUT_S) -> socket.socket:
    """As `connect_target`, to numeric addresses that the caller may reach, in this order."""
    addresses = [Address(socket.AF_INET6 if ":" in host else socket.AF_INET, (host, port)) for host in hosts]
    try:
        async with asyncio.timeout(timeout_s):
            return await _first_to_connect(addresses)
    except TimeoutError:
        text = f"{', '.join(map(str, addresses))}: no answer in {timeout_s:g} s"
        raise TargetRefusedError(ReplyCode.TIMED_OUT, text) from None


async def _allowed(host: str, port: int, rules: Rules, look_up: LookUp, protocol: int = TCP) -> list[Address]:
    """The addresses that may be reached. Raises TargetRefusedError.

    A peer that may not ask for the name learns nothing about it, not even that it does not resolve.
    """
    wanted = join_host_port(host, port)
    if not host_is_sane(host):
        raise TargetRefusedError(ReplyCode.HOST_UNREACHABLE, f"{host!r} is not a valid host name")
    by_name = rules.allows(host, port, protocol)
    if not rules.may_lead(host, port, protocol):
        raise TargetRefusedError(ReplyCode.NOT_ALLOWED, f"{wanted}: no rule allows it")
    try:
        addresses = await _resolve(host, port, look_up)
    except OSError as error:
        code = ReplyCode.HOST_UNREACHABLE if by_name else ReplyCode.NOT_ALLOWED
        raise TargetRefusedError(code, f"{wanted}: {error.strerror or error}") from None
    allowed = [address for address in addresses if rules.allows_at(host, address.sockaddr[0], port, protocol)]
    if not allowed:
        raise TargetRefusedError(ReplyCode.NOT_ALLOWED, f"{wanted}: no rule allows it or any address of it")
    return allowed[:MAX_ADDRESSES]


async def _resolve(host: str, port: int, look_up: LookUp) -> list[Address]:
    """In the system's order of preference (RFC 6724), families interleaved. Raises OSError."""
    found = numeric(host) or await look_up(host)
    # a zone is in the tuple as a number too; with its name in the text asyncio would resolve it again
    addresses = [Address(info[0], (str(info[4][0]).partition("%")[0], port, *info[4][2:])) for info in found]
    return _interleaved(list(dict.fromkeys(addresses)))


def _interleaved(addresses: list[Address]) -> list[Address]:
    """The other family second, so that one broken family costs one delay (RFC 8305 §4)."""
    if not addresses:
        return []
    first = [address for address in addresses if address.family == addresses[0].family]
    second = [address for address in addresses if address.family != addresses[0].family]
    return first[:1] + second[:1] + first[1:] + second[1:]


async def _first_to_connect(addresses: list[Address]) -> socket.socket:
    """Raises TargetRefusedError with the most telling reason when every address has failed."""
    waiting = deque(addresses)
    attempts: set[asyncio.Task[socket.socket]] = set()
    refusals: list[TargetRefusedError] = []
    connected: list[socket.socket] = []
    try:
        while not connected and (waiting or attempts):
            if waiting:
                attempts.add(asyncio.create_task(_attempt(waiting.popleft())))
            done, attempts = await asyncio.wait(
                attempts,
                timeout=NEXT_ADDRESS_S if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            _sort_out(done, connected, refusals)
        if not connected:
            raise min(refusals, key=lambda refusal: _TELLING.index(refusal.code))
        return connected.pop(0)
    finally:
        for attempt in attempts:
            attempt.add_done_callback(_close_result)
            attempt.cancel()
        for late in connected:
            late.close()


async def _attempt(address: Address) -> socket.socket:
    """Raises TargetRefusedError."""
    try:
        sock = socket.socket(address.family, socket.SOCK_STREAM)
    except OSError as error:
        raise refused_by(address, error) from None
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, address.sockaddr)
    except OSError as error:
        sock.close()
        raise refused_by(address, error) from None
    except BaseException:
        sock.close()
        raise
    return sock


def refused_by(address: Address, error: OSError) -> TargetRefusedError:
    """The refusal for a failure of a socket."""
    code = CODES.get(error.errno or 0, ReplyCode.GENERAL_FAILURE)
    return TargetRefusedError(code, f"{address}: {os.strerror(error.errno or 0)}")


def _sort_out(
    done: set[asyncio.Task[socket.socket]],
    connected: list[socket.socket],
    refusals: list[TargetRefusedError],
) -> None:
    for attempt in done:
        try:
            connected.append(attempt.result())
        except TargetRefusedError as refusal:
            refusals.append(refusal)


def _close_result(attempt: asyncio.Task[socket.socket]) -> None:
    if not attempt.cancelled() and not attempt.exception():
        attempt.result().close()
