"""The fast road: kernel TCP between two private stacks, over lossy Tox packets.

Stations of a byte, calling side: local end -> relay -> socket of our stack -> TUN -> datapath -> Tox.
Serving side: Tox -> datapath (source check) -> TUN -> listener on the stack -> SOCKS5 -> target.
Who calls is known from the source address, which the datapath has checked against the friend's key.
Every method that needs the stack raises StackUnavailableError when it is not to be had (stack.py).
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Coroutine
from ipaddress import IPv6Address, IPv6Network
from typing import Any

from .._native.datapath import Datapath
from .._native.packets import PacketFormat
from .._native.toxcarrier import ToxCarrier
from ..errors import ToxvpnError
from ..tox.events import Event, PeerConnection
from ..tox.node import Node
from ..tox.overlay import Overlay
from ..tox.peer import Peer
from ..wire.addressing import overlay_ipv6
from ..wire.socks5 import (
    BadReply,
    BadRequest,
    Client,
    Connected,
    ConnectRequest,
    Refused,
    ReplyCode,
    Server,
    encode_connect,
    encode_reply,
)
from .ends import End, SocketEnd
from .relay import Relay
from .road import Ending, OpenFailed
from .stack import MTU_BYTES, Stack
from .target import TargetRefusedError

log = logging.getLogger("toxvpn.tcpforward")

TCP_FASTOPEN_CONNECT = 30  # linux/tcp.h; Python does not name it
SOCKS_PORT = 1080
FIRST_ANSWER_S = 3.0
"""A working path answers in a few round trips; what takes longer carries no lossy packets."""
HANDSHAKE_S = 30.0
REPLY_BYTES = 12
"""Method and reply as our server sends them: nothing of the stream is read with them."""

Serve = Callable[[Peer, str, int], Awaitable[End]]


class NoAnswerError(ToxvpnError):
    """The peer's stack did not answer: lossy packets do not get through, or it has none any more."""


class FastStream:
    """See `road.Stream`."""

    def __init__(self, relay: Relay, far: socket.socket) -> None:
        self._relay = relay
        self._far = SocketEnd(far)
        self._far_socket = far

    async def relay(self, local: End, first: bytes = b"") -> Ending:
        try:
            if first:
                await asyncio.get_running_loop().sock_sendall(self._far_socket, first)
        except BaseException:
            local.close(clean=False)
            self._far.close(clean=False)
            raise
        return (await self._relay.join(local, self._far)).ending

    def abort(self) -> None:
        self._far.close(clean=False)


class FastRoad:
    """One for all peers of a node. `serve` None: our stack only calls, its listener is not opened."""

    name = "fast"

    def __init__(self, node: Node, stack: Stack, relay: Relay, serve: Serve | None = None) -> None:
        self._node = node
        self._stack = stack
        self._relay = relay
        self._serve = serve
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        tun = stack.tun
        self._fd = tun.fd
        self._datapath = Datapath(
            ToxCarrier(node.tox),
            tun.fd,
            PacketFormat.STACK,
            mtu=MTU_BYTES,
            vnet_hdr=tun.vnet_hdr,
            udp_offload=stack.udp_offload,
        )
        self._overlay = Overlay(self._datapath)

    async def start(self) -> None:
        """From here on packets flow, and peers are served if they are to be."""
        self._datapath.add_own_address(IPv6Network(self._stack.address))
        for peer in self._node:
            self._overlay.add(peer)
        self._node.subscribe(self._hear)
        self._node.after_turn.append(self._datapath.flush_inbound)
        self._loop.add_reader(self._fd, self._outbound)
        if self._serve is not None:
            self._run(self._accept(await self._stack.listen(SOCKS_PORT)))

    async def close(self) -> None:
        """Resets what it carries. The stack is the caller's to close, after this."""
        self._loop.remove_reader(self._fd)
        self._node.unsubscribe(self._hear)
        with contextlib.suppress(ValueError):
            self._node.after_turn.remove(self._datapath.flush_inbound)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._datapath.close()

    # -- packets

    def _hear(self, event: Event) -> None:
        if isinstance(event, PeerConnection):
            self._overlay.add(event.peer)
        self._overlay.hear(event)

    def _outbound(self) -> None:
        try:
            self._datapath.read_tun()
        except OSError as failure:
            log.error("the private stack is gone: %s", failure.strerror)
            self._loop.remove_reader(self._fd)
            return
        if self._node.tox.congested:  # the device's own queue holds the rest
            self._loop.remove_reader(self._fd)
            self._node.when_writable(self._go_on)

    def _go_on(self) -> None:
        self._node.turn()
        if not self._node.closed:
            self._loop.add_reader(self._fd, self._outbound)
            self._outbound()

    # -- calling

    async def open(self, peer: Peer, host: str, port: int) -> FastStream:
        """Raises OpenFailed, NoAnswerError, StackUnavailableError."""
        far = await self._stack.socket()
        try:
            await self._call(far, peer, host, port)
        except BaseException:
            far.close()
            raise
        return FastStream(self._relay, far)

    async def _call(self, far: socket.socket, peer: Peer, host: str, port: int) -> None:
        address = (str(overlay_ipv6(peer.public_key)), SOCKS_PORT)
        try:
            # the request travels in the SYN where both kernels have TCP Fast Open (RFC 7413)
            with contextlib.suppress(OSError):
                far.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)
            async with asyncio.timeout(FIRST_ANSWER_S):
                await self._loop.sock_connect(far, address)
                await self._loop.sock_sendall(far, encode_connect(host, port))
                first = await self._loop.sock_recv(far, 1)
        except (OSError, TimeoutError) as failure:
            raise NoAnswerError(f"no answer on the fast road: {failure or 'nothing came'}") from None
        await self._reply(far, first)

    async def _reply(self, far: socket.socket, data: bytes) -> None:
        """Reads the server's answer, however long the target makes it wait, and not a byte more."""
        client, missing = Client(), REPLY_BYTES - len(data)
        try:
            while data:
                match client.receive(data):
                    case Connected():
                        return
                    case Refused(code):
                        raise OpenFailed(code, code.name.lower().replace("_", " "))
                    case BadReply(fault):
                        raise OpenFailed(ReplyCode.GENERAL_FAILURE, f"the peer's answer is {fault}")
                data = await self._loop.sock_recv(far, max(missing, 1))
                missing -= len(data)
        except OSError as failure:
            raise OpenFailed(ReplyCode.GENERAL_FAILURE, f"the peer hung up: {failure}") from None
        raise OpenFailed(ReplyCode.GENERAL_FAILURE, "the peer hung up")

    # -- serving

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listener: socket.socket) -> None:
        with listener:
            while True:
                try:
                    caller, address = await self._loop.sock_accept(listener)
                except OSError as failure:
                    log.warning("cannot accept on the fast road: %s", failure.strerror)
                    await asyncio.sleep(0.2)
                    continue
                caller.setblocking(False)
                self._run(self._answer(caller, IPv6Address(address[0])))

    async def _answer(self, caller: socket.socket, source: IPv6Address) -> None:
        peer = self._overlay.peer_at(source)
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                request = await self._handshake(caller)
            target = await self._connect(caller, peer, request) if peer and request else None
        except (OSError, TimeoutError):
            target = None
        except BaseException:
            caller.close()
            raise
        if target is None:
            caller.close()
            return
        await self._relay.join(SocketEnd(caller), target)

    async def _handshake(self, caller: socket.socket) -> ConnectRequest | None:
        server = Server()
        while data := await self._loop.sock_recv(caller, 4096):
            answer, event = server.receive(data)
            if isinstance(event, ConnectRequest):
                await self._loop.sock_sendall(caller, answer)  # at once: the caller waits for a sign of life
                return event
            if answer:
                await self._loop.sock_sendall(caller, answer)
            if isinstance(event, BadRequest):
                return None
        return None

    async def _connect(self, caller: socket.socket, peer: Peer, request: ConnectRequest) -> End | None:
        assert self._serve is not None
        try:
            target = await self._serve(peer, request.host, request.port)
        except TargetRefusedError as refusal:
            log.info("peer %s: refused: %s", peer.short, refusal)
            await self._loop.sock_sendall(caller, encode_reply(refusal.code))
            return None
        try:
            await self._loop.sock_sendall(caller, encode_reply(ReplyCode.SUCCEEDED))
            await self._write_first(target, request.rest)
        except BaseException:
            target.close(clean=False)
            raise
        return target

    async def _write_first(self, target: End, rest: bytes) -> None:
        """Stream bytes that came with the request."""
        if rest:
            with socket.socket(fileno=os.dup(target.write_fd)) as sock:
                sock.setblocking(False)
                await self._loop.sock_sendall(sock, rest)
