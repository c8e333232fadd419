"""Hands the streams that peers open to `@files` to the `toxvpn receive` that waits for them.

In: a socket in the run's directory, which commands of the same user, and of root, connect to. Out: to the one
command that receives, a descriptor for each stream. While there is none, peers are refused. The messages are
those of messages.py:

    {"from": null}  or  {"from": ["box"]}     the command; then it closes the connection when it ends
    {"taken": true}                           it receives from now on
    {"stream": KEY, "name": "box"}            with the descriptor of the stream of that peer
    {"ended": 1, "text": "..."}               it cannot receive
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from .. import descriptors
from ..control import socketfile
from ..control.protocol import error_for
from ..errors import ToxvpnError
from ..members.friends import Grant
from ..members.roster import Roster
from ..members.selector import find
from ..state.places import find_runtime, make
from ..tcpforward.builtin import Builtin, Builtins
from ..tcpforward.listen import Listener
from ..tcpforward.roads import Roads
from ..tox.peer import Peer
from ..wire import filetransfer
from . import messages
from .messages import KIND, PROTOCOL, BadMessageError, Message, harmless
from .rendezvous import ANSWER_S

log = logging.getLogger("toxvpn.share")

FILES_SOCKET_NAME = f"files{PROTOCOL}.sock"
REQUEST_S = 5.0
REFUSAL = "no `toxvpn receive` that takes files from it runs here"


class FileReceiver:
    """A command that receives. `keys` None: from every peer that is let in here."""

    def __init__(self, connection: socket.socket, keys: frozenset[bytes] | None) -> None:
        self.connection = connection
        self.keys = keys


class FileStreams:
    """Offers `@files` to peers from construction; takes over `listeners`, of which there is one, or none."""

    def __init__(
        self, builtins: Builtins, roster: Roster, roads: Roads, listeners: list[socket.socket]
    ) -> None:
        self._roster = roster
        self._roads = roads
        self._receiver: FileReceiver | None = None
        self._withdraw = builtins.offer(
            filetransfer.NAME, Builtin(filetransfer.VERSION, self._may, REFUSAL, self._carry, self._take)
        )
        self._listener = Listener(listeners, self._serve)
        self._listener.start()

    async def close(self) -> None:
        self._withdraw()
        await self._listener.close()

    def _may(self, public_key: bytes) -> bool:
        """Whom only --open lets in, is nobody that anybody here knows."""
        receiver = self._receiver
        if receiver is None or self._roster.grant(public_key) in (None, Grant.OPEN):
            return False
        return receiver.keys is None or public_key in receiver.keys

    async def _carry(self, peer: Peer, sock: socket.socket) -> None:
        self._take(peer, sock)

    def _take(self, peer: Peer, sock: socket.socket) -> None:
        """The command has the stream from here on. Raises OSError, EOFError."""
        if self._receiver is None:
            raise EOFError("the command that receives has just ended")
        known = self._roster.peers().get(peer.public_key)
        name = peer.short if known is None else known.short
        message = {"stream": peer.public_key.hex(), "name": name}
        messages.send(self._receiver.connection, message, [sock.fileno()])

    async def _serve(self, connection: socket.socket) -> None:
        with connection:
            if socketfile.credentials(connection).uid not in (0, os.geteuid()):
                return
            try:
                await self._receive(connection)
            except ToxvpnError as failure:
                messages.send(connection, {"ended": failure.exit_code, "text": str(failure)})
            except (BadMessageError, OSError) as error:
                log.debug("cannot serve a command: %r", error)

    async def _receive(self, connection: socket.socket) -> None:
        """Returns when the command has ended. Raises ToxvpnError, BadMessageError, OSError."""
        async with asyncio.timeout(REQUEST_S):
            await _readable(connection)
        request, unwanted = messages.receive(connection)
        descriptors.close(unwanted)
        keys = self._keys(request or {})
        if self._receiver is not None:
            raise ToxvpnError("another `toxvpn receive` runs already: end it first, or wait until it is done")
        self._receiver = FileReceiver(connection, keys)
        try:
            self._roads.start()
            messages.send(connection, {"taken": True})
            await _readable(connection)  # it says nothing more
        finally:
            self._receiver = None

    def _keys(self, request: Message) -> frozenset[bytes] | None:
        """Raises PeerRefusedError, UsageError, BadMessageError."""
        selectors = request.get("from", "")
        if selectors is None:
            return None
        if not isinstance(selectors, list):
            raise BadMessageError("the command does not say from whom it receives")
        known = list(self._roster.members)
        return frozenset(find(str(each), known).public_key for each in selectors)


async def _readable(connection: socket.socket) -> None:
    loop, there = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(connection, there.set)
    try:
        await there.wait()
    finally:
        loop.remove_reader(connection)


@contextlib.asynccontextmanager
async def handing_out(
    builtins: Builtins, roster: Roster, roads: Roads, directory: Path
) -> AsyncIterator[FileStreams]:
    """Offers `@files` inside the `with`; if the socket cannot be made, there is just nobody who receives."""
    path = make(directory) / FILES_SOCKET_NAME
    with contextlib.ExitStack() as undo:
        listeners = []
        try:
            listener = socketfile.listen_as(path, KIND)
            listener.setblocking(False)
            listeners.append(listener)
            undo.callback(socketfile.remove_at, path, socketfile.identify(path))
        except OSError as error:
            log.warning(
                "nobody can receive files through this node: cannot make %s: %s", path, error.strerror
            )
        streams = FileStreams(builtins, roster, roads, listeners)
        try:
            yield streams
        finally:
            await streams.close()


# -- the command's side ---------------------------------------------------------------------------


def connect_as_receiver(directory: Path | None, senders: Sequence[str]) -> socket.socket | None:
    """A connection to the run that uses these files (`directory` is -C), by which streams come; None: no run.

    `senders`: only from these peers; none: from all. Raises what the run says.
    """
    try:
        connection = socketfile.connect_to(find_runtime(directory) / FILES_SOCKET_NAME, ANSWER_S, KIND)
    except OSError:
        return None
    if os.geteuid() not in (0, socketfile.credentials(connection).uid):
        connection.close()
        return None
    try:
        messages.send(connection, {"from": list(senders) or None})
        answer, unwanted = messages.receive(connection)
        descriptors.close(unwanted)
        refusal = None if answer is None or "taken" in answer else _refusal(answer)
    except (OSError, BadMessageError):
        answer = refusal = None
    if answer is None or refusal is not None:
        connection.close()
    if refusal is not None:
        raise refusal
    if answer is None:
        return None
    connection.settimeout(None)
    return connection


def _refusal(answer: Message) -> ToxvpnError:
    """Raises BadMessageError."""
    return error_for(messages.number_of(answer, "ended"), messages.text_of(answer, "text"))


def next_stream(connection: socket.socket) -> tuple[socket.socket, bytes, str] | None:
    """The next stream, its sender's public key, and what it is called here; None: the run has ended."""
    try:
        message, received = messages.receive(connection)
    except (OSError, BadMessageError):
        return None
    if message is None or "stream" not in message or len(received) != 1:
        descriptors.close(received)
        return None
    try:
        public_key = bytes.fromhex(message["stream"])
        sock = socket.socket(fileno=received[0])
    except (OSError, TypeError, ValueError):  # the run may be another user's, and root does not trust it
        descriptors.close(received)
        return None
    sock.setblocking(True)
    return sock, public_key, harmless(str(message.get("name")))
