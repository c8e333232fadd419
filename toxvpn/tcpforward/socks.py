"""`-D`: a SOCKS5 connection names its own target (wire/socks5.py), then is carried like any other."""

import asyncio
import logging
import socket
from collections.abc import Callable
from functools import partial

from ..errors import PeerOfflineError, ToxvpnError
from ..wire.socks5 import BadRequest, ConnectRequest, Fault, ReplyCode, Socks5Server, encode_reply
from .caller import Caller
from .ends import socket_end
from .road import Stream, StreamOpenError
from .spec import Target

log = logging.getLogger("toxvpn.tcpforward")

HANDSHAKE_S = 30.0
"""A program that connects and says nothing must not hold its place for ever."""


async def carry(caller: Caller, local: socket.socket) -> None:
    """Carries a connection of the SOCKS5 listener, from accept to its last byte."""
    on_fault = partial(caller.log_limit.log, log, logging.WARNING, "SOCKS5 client: %s")
    try:
        async with asyncio.timeout(HANDSHAKE_S):
            request = await handshake(local, on_fault)
        if request is None:
            local.close()
            return
        stream = await _open(caller, local, Target(request.host, request.port))
    except (OSError, TimeoutError) as failure:
        log.debug("SOCKS5 client: %s", failure)
        local.close()
        return
    except BaseException:
        local.close()
        raise
    if stream is not None:
        await stream.relay(socket_end(local), request.rest)


async def handshake(local: socket.socket, on_fault: Callable[[Fault], None]) -> ConnectRequest | None:
    """The client's request; None if it went away, or sent something else and was answered so."""
    loop = asyncio.get_running_loop()
    server = Socks5Server()
    while data := await loop.sock_recv(local, 4096):
        answer, event = server.receive(data)
        if answer:
            await loop.sock_sendall(local, answer)
        if isinstance(event, BadRequest):
            on_fault(event.fault)
            return None
        if event is not None:
            return event
    return None


async def _open(caller: Caller, local: socket.socket, target: Target) -> Stream | None:
    """Opens the stream and replies to the client; None if the reply was a failure."""
    loop = asyncio.get_running_loop()
    try:
        stream = await caller.open(target)
    except ToxvpnError as failure:
        caller.log_limit.log(log, logging.WARNING, "%s: %s", target, failure)
        await loop.sock_sendall(local, encode_reply(reply_code(failure)))
        local.close()
        return None
    try:
        await loop.sock_sendall(local, encode_reply(ReplyCode.SUCCEEDED))
    except BaseException:
        stream.abort()
        raise
    return stream


def reply_code(failure: ToxvpnError) -> ReplyCode:
    if isinstance(failure, StreamOpenError):
        return failure.code
    return ReplyCode.HOST_UNREACHABLE if isinstance(failure, PeerOfflineError) else ReplyCode.GENERAL_FAILURE
