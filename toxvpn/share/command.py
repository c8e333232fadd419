"""The command's side of a shared node: hands over its descriptors, shows the log, returns the exit code.

Every further connection waits for this, so it imports little: neither the event loop nor toxcore.
"""

import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

from .._native.net import netio
from ..config.options import ClientOptions
from ..control.protocol import error_for
from ..descriptors import close
from ..errors import LinkError, ToxvpnError
from ..tcpforward.bind import bind
from ..tcpforward.ends import check_stdio
from .messages import (
    MOST_DESCRIPTORS,
    BadMessageError,
    Message,
    log_line,
    number_of,
    receive,
    send,
    text_of,
)
from .rendezvous import NotSharedError, Rendezvous, connect_to_run

log = logging.getLogger("toxvpn.share")

TRIES = 3
"""A node may end while we connect, having been idle for long enough, but not several in a row."""
PAUSE_S = 1.0
"""The pause between the loss of a node and handing the listeners to another one."""
RELEASE_S = 1.0
"""How long a command that ends waits for the node to release its ports."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """`taken`: the node had accepted the descriptors. `code` is its exit code, None when it was lost."""

    taken: bool
    code: int | None = None
    text: str = ""


def run(options: ClientOptions) -> int:
    """The exit code. Raises NotSharedError, having done nothing; LinkError from -P; ToxvpnError."""
    if (objection := _objection(options)) is not None:
        raise NotSharedError(objection)
    rendezvous = Rendezvous(options)
    netio.harden()  # the secret is in this memory
    with contextlib.ExitStack() as undo:
        undo.enter_context(_ended_by_signals())
        request, descriptors = _request(options, undo)
        outcome = _ask_the_run(options, request, descriptors)
        if outcome.taken or outcome.code is not None:
            return _end(options, outcome)
        for _ in range(TRIES):
            outcome = _ask(rendezvous, options, request, descriptors)
            while outcome.taken and outcome.code is None and options.pipe is None:
                log.warning("the shared node was lost; starting another one")
                time.sleep(PAUSE_S)
                outcome = _ask(rendezvous, options, request | {"again": True}, descriptors)
            if outcome.taken or outcome.code is not None:
                return _end(options, outcome)
    raise NotSharedError(f"{TRIES} shared nodes ended before they took the request")


def _objection(options: ClientOptions) -> str | None:
    """Why this command must have a node of its own; None when it may share one."""
    if not options.share:
        return "--no-share"
    if options.id_file is not None:
        return "-I asks for a Tox ID of its own"
    service = (options.daemonize, options.pid_file, options.user, options.metrics_port)
    if any(service) or "NOTIFY_SOCKET" in os.environ:
        return "a service has a node of its own"
    return None


def _request(options: ClientOptions, undo: contextlib.ExitStack) -> tuple[Message, list[int]]:
    """The request to a node, and its descriptors. Raises LinkError, ToxvpnError (listeners)."""
    level = logging.getLogger("toxvpn").getEffectiveLevel()
    request: Message = {"level": level, "peer": options.server.public_key.hex()}
    if options.proxy is not None:
        request["proxy"] = str(options.proxy)
    if options.ping:
        return request | {"do": "ping"}, []
    if options.speed is not None:
        return request | {"do": "speed", "seconds": options.speed.seconds}, []
    if options.pipe is not None:
        check_stdio(str(options.pipe))
        return request | {"do": "pipe", "target": str(options.pipe)}, [0, 1]
    listeners, bound = [], []
    for listen, target in options.listens:
        sockets = [undo.enter_context(each) for each in bind(listen)]
        bound += sockets
        listeners.append(
            {"told": str(listen), "target": None if target is None else str(target), "sockets": len(sockets)}
        )
    if len(bound) > MOST_DESCRIPTORS:
        raise NotSharedError(f"{len(bound)} listeners are too many to hand over: at most {MOST_DESCRIPTORS}")
    remotes = [
        {
            "addresses": [*map(str, each.listen.addresses)],
            "port": each.listen.port,
            "transport": each.listen.transport,
            "path": each.listen.path,
            "target": str(each.target),
        }
        for each in options.remotes
    ]
    request |= {"do": "listen", "listeners": listeners}
    if remotes:
        request |= {"do": "listen-there", "remotes": remotes}
    return request, [each.fileno() for each in bound]


def _ask_the_run(options: ClientOptions, request: Message, descriptors: list[int]) -> Outcome:
    """Asks the toxvpn that runs here, if it knows the peer: it holds the identity that this command needs.

    A command that was given a secret or a road needs a node with that secret or road, and does not ask.
    """
    connection = None
    if options.may_use_run:
        connection = connect_to_run(options.directory, descriptors)
    if connection is None:
        return Outcome(taken=False)
    return _hand_over(connection, options, request, descriptors)


def _ask(rendezvous: Rendezvous, options: ClientOptions, request: Message, descriptors: list[int]) -> Outcome:
    return _hand_over(_connected(rendezvous, options), options, request, descriptors)


def _hand_over(
    connection: socket.socket, options: ClientOptions, request: Message, descriptors: list[int]
) -> Outcome:
    with connection:
        try:
            send(connection, request, descriptors)
            return _follow(connection, options)
        except BrokenPipeError:
            return Outcome(taken=False)
        except SystemExit:  # by a signal
            _close_and_wait(connection)
            raise


def _connected(rendezvous: Rendezvous, options: ClientOptions) -> socket.socket:
    """Raises NotSharedError."""
    connection = rendezvous.connect()
    if connection is not None:
        return connection
    if options.ping:
        raise NotSharedError("no shared node runs, and a ping does not start one")
    from .start import connect_or_start  # with what it takes to start a process

    return connect_or_start(rendezvous, options)


def _follow(connection: socket.socket, options: ClientOptions) -> Outcome:
    """Handles the node's messages until it sends the outcome, or is lost."""
    taken = False
    while True:
        try:
            message, unwanted = receive(connection)
            close(unwanted)
            if message is None:
                return Outcome(taken)
            if "log" in message:
                log_line(message)
            elif "speed" in message and options.speed is not None:
                options.speed.tell(message["speed"])
            elif "print" in message:
                print(text_of(message, "print"), flush=True)  # noqa: T201
            elif "taken" in message:
                taken = True
                if options.pipe is not None:
                    _let_go_of_stdio()
            elif "ended" in message:
                return Outcome(taken, number_of(message, "ended"), text_of(message, "text"))
        except BadMessageError as error:
            raise LinkError(f"cannot understand the shared node: {error}") from None


def _let_go_of_stdio() -> None:
    """Closes our stdin and stdout, so that a reader of stdout sees its end when the node closes it."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1):
        os.dup2(nothing, standard)
    os.close(nothing)


def _close_and_wait(connection: socket.socket) -> None:
    """Waits until the node has released the ports: the next command may want the same."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(RELEASE_S)
        while connection.recv(1):
            pass


def _end(options: ClientOptions, outcome: Outcome) -> int:
    """Returns 0, or raises the error that the exit code stands for."""
    if outcome.code is None and options.pipe is not None:
        raise LinkError(f"{options.pipe}: the shared node that carried this connection was lost")
    if outcome.code is None:
        raise ToxvpnError("the toxvpn whose connection this command used has ended")
    if outcome.code == LinkError.exit_code:
        raise LinkError(outcome.text)
    if outcome.code:
        raise error_for(outcome.code, outcome.text)
    if outcome.text:
        print(outcome.text)  # noqa: T201
    return 0


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Signal n raises SystemExit(128 + n)."""

    def stop(number: int, _: FrameType | None) -> None:
        log.info("stopped by %s", signal.Signals(number).name)
        sys.exit(128 + number)

    before: dict[signal.Signals, Any] = {}
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores it
            before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
