"""The server of the control socket, in the daemon's event loop: requests in, handlers called, answers out.

Each command is registered with its handler: `server.register("status", handler)`. A handler gets the
ControlRequest, may take its time, and returns what JSON can hold, or raises a ToxvpnError, which the client
raises again. Only root and the daemon's own user are served. A client that disconnects cancels its request.
Neighbours: protocol.py is the language, socketfile.py the file, commands.py the commands.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from ..errors import NoPermissionError, ToxvpnError
from . import socketfile
from .protocol import (
    MAX_REQUEST_BYTES,
    BadRequestError,
    ControlRequest,
    LineReader,
    decode_request,
    encode_error,
    encode_result,
)

log = logging.getLogger("toxvpn.control")

MAX_WAITING = 16
"""How many requests of one client may wait for the answer to an earlier one."""

Handler = Callable[[ControlRequest], Awaitable[object]]


class ControlServer:
    """Serves `directory`/control.sock; the directory exists and belongs to the daemon alone.

    Call `start()` once, inside the loop; `close()` any number of times.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._handlers: dict[str, Handler] = {}
        self._allowed = {0, os.geteuid()}
        self._server: asyncio.Server | None = None
        self._identity = (0, 0)
        self._connections: set[ClientConnection] = set()

    def register(self, do: str, handler: Handler) -> None:
        """Registers the one handler of a command."""
        assert do not in self._handlers, do
        self._handlers[do] = handler

    async def start(self) -> None:
        """Raises ToxvpnError when another process serves that socket, ConfigError, NoPermissionError."""
        listener = socketfile.listen(self.directory)
        self._identity = socketfile.identify(self.directory / socketfile.SOCKET_NAME)
        # create_unix_server would, from Python 3.13 on, remove the file by an address that is a detour
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: ClientConnection(self), sock=listener)

    def close(self) -> None:
        """Closes every connection, cancels the requests that run, and removes the socket."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        socketfile.remove(self.directory, self._identity)
        for connection in list(self._connections):
            connection.close()

    async def answer(self, request: ControlRequest) -> bytes:
        try:
            handler = self._handlers.get(request.do)
            if handler is None:
                raise BadRequestError(f"the running toxvpn cannot do {request.do!r}")
            return encode_result(await handler(request))
        except ToxvpnError as error:
            return encode_error(error)
        except Exception as error:
            log.exception("the control command %r failed", request.do)
            return encode_error(
                ToxvpnError(f"internal error, see the log of the running toxvpn: {type(error).__name__}")
            )

    def admit(self, connection: "ClientConnection", uid: int) -> None:
        """Admit a client, or raise NoPermissionError when its user may not control this toxvpn."""
        if uid not in self._allowed:
            raise NoPermissionError("only root and the user that toxvpn runs as may control it")
        self._connections.add(connection)

    def remove(self, connection: "ClientConnection") -> None:
        self._connections.discard(connection)


class ClientConnection(asyncio.Protocol):
    """The connection of one client, whose requests are answered one after the other."""

    def __init__(self, server: ControlServer) -> None:
        self._server = server
        self._lines = LineReader(MAX_REQUEST_BYTES)
        self._waiting: list[bytes] = []
        self._task: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        try:
            uid = socketfile.credentials(transport.get_extra_info("socket")).uid
            self._server.admit(self, uid)
        except NoPermissionError as error:
            log.warning("refused user %d at the control socket", uid)
            self._refuse(error)

    def data_received(self, data: bytes) -> None:
        if self._transport.is_closing():
            return
        try:
            self._waiting += self._lines.feed(data)
            if len(self._waiting) > MAX_WAITING:
                raise BadRequestError(f"more than {MAX_WAITING} requests at once")
        except BadRequestError as error:
            self._refuse(error)
            return
        self._next()

    def eof_received(self) -> None:
        """Returns None, which closes the connection: a client that has stopped reading gets no answer."""

    def connection_lost(self, error: Exception | None) -> None:
        self._server.remove(self)
        self._waiting.clear()
        if self._task is not None:
            self._task.cancel()

    def close(self) -> None:
        self._transport.close()

    def _refuse(self, error: ToxvpnError) -> None:
        self._transport.write(encode_error(error))
        self._transport.close()

    def _next(self) -> None:
        if self._task is None and self._waiting:
            self._task = asyncio.get_running_loop().create_task(self._serve(self._waiting.pop(0)))

    async def _serve(self, line: bytes) -> None:
        try:
            try:
                answer = await self._server.answer(decode_request(line))
            except BadRequestError as error:
                answer = encode_error(error)
            self._transport.write(answer)
        finally:
            self._task = None
        if not self._transport.is_closing():
            self._next()
