"""A stream to a peer's built-in target, for a command that speaks its protocol itself.

In: a client's options, and the target. Out: a connected socket, which a node carries: the toxvpn that runs
here and has the peer, or else the one that commands share (decision 5).
"""

import contextlib
import logging
import socket
import threading
from typing import Self

from ..config.options import ClientOptions
from ..control.protocol import error_for
from ..descriptors import close
from ..errors import LinkError
from .messages import BadMessageError, Message, log_line, number_of, receive, send, text_of
from .rendezvous import NotSharedError, Rendezvous, connect_to_run

log = logging.getLogger("toxvpn.share")

TRIES = 3
"""A node may end while we connect, having been idle for long enough, but not several in a row."""
LAST_WORDS_S = 2.0


class BorrowedStream:
    """`socket` is the stream, which ends when the node that gave it ends, and at the end of the `with`."""

    def __init__(self, sock: socket.socket, connection: socket.socket) -> None:
        self.socket = sock
        self._connection = connection
        self._last_words = ""
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.socket.close()
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._watcher.join()
        self._connection.close()

    def why_it_broke(self) -> str:
        """What the node says about the end of the stream; empty: nothing."""
        self._watcher.join(LAST_WORDS_S)
        return self._last_words

    def _watch(self) -> None:
        """Waits for the node's last words, and then ends the stream, which may not go through the node."""
        try:
            message: Message | None = {}
            while message is not None and "ended" not in message:
                message, unwanted = receive(self._connection)
                close(unwanted)
            self._last_words = text_of(message, "text") if message else "the toxvpn that carried it has ended"
        except (OSError, BadMessageError) as error:
            self._last_words = str(error)
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)


def borrow_stream(
    options: ClientOptions, name: str, version: int, *, run_only: bool = False
) -> BorrowedStream:
    """Waits until the peer has answered. `run_only`: no other node than the toxvpn that runs here.

    Raises NotSharedError, PeerRefusedError (the peer does not let us), and what kept the node from it.
    """
    request: Message = {
        "do": "builtin",
        "level": logging.getLogger("toxvpn").getEffectiveLevel(),
        "peer": options.server.public_key.hex(),
        "name": name,
        "version": version,
    }
    if options.proxy is not None:
        request["proxy"] = str(options.proxy)
    if options.may_use_run:
        running = connect_to_run(options.directory)
        if running is not None and (stream := _ask(running, request)) is not None:
            return stream
    if run_only:
        raise NotSharedError("the toxvpn that runs here is not connected to the peer now")
    rendezvous = Rendezvous(options)
    for _ in range(TRIES):
        if (stream := _ask(_connect_or_start(rendezvous, options), request)) is not None:
            return stream
    raise NotSharedError(f"{TRIES} shared nodes ended before they took the request")


def _connect_or_start(rendezvous: Rendezvous, options: ClientOptions) -> socket.socket:
    from .start import connect_or_start  # with what it takes to start a process

    return connect_or_start(rendezvous, options)


def _ask(connection: socket.socket, request: Message) -> BorrowedStream | None:
    """None: the node does not serve us. Raises the error that it reports."""
    try:
        send(connection, request)
        while True:
            message, descriptors = receive(connection)
            if message is not None and "stream" in message and len(descriptors) == 1:
                sock = socket.socket(fileno=descriptors[0])
                sock.setblocking(True)
                return BorrowedStream(sock, connection)
            close(descriptors)
            if message is None:
                connection.close()
                return None
            if "log" in message:
                log_line(message)
            elif "ended" in message:
                raise error_for(number_of(message, "ended"), text_of(message, "text"))
    except BrokenPipeError:
        connection.close()
        return None
    except BadMessageError as error:
        connection.close()
        raise LinkError(f"cannot understand the node: {error}") from None
    except BaseException:
        connection.close()
        raise
