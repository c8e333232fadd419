"""A command's side: hands its descriptors to the shared node, shows what that says, ends as it says.

Short-lived, and what the second connection waits for: nothing is imported here that it can do without,
neither the event loop nor toxcore.
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
from ..errors import LinkError, ToxvpnError
from ..tcpforward.bind import bind
from ..tcpforward.ends import check_stdio
from ..tcpforward.spec import RoadPolicy
from .meeting import Meeting, NotSharedError, connect_to_run
from .messages import MOST_DESCRIPTORS, Message, NonsenseError, receive, send

log = logging.getLogger("toxvpn.share")

TRIES = 3
"""A node may end while we connect, having been idle for long enough; not several in a row."""
PAUSE_S = 1.0
"""Before listeners are given to another node, theirs having died."""
GOOD_BYE_S = 1.0
"""For the node to let go of the ports."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """`code` None: the node was lost. `taken`: it had our descriptors by then."""

    taken: bool
    code: int | None = None
    text: str = ""


def run(options: ClientOptions) -> int:
    """The exit code. Raises NotSharedError, having done nothing; LinkError from -P; ToxvpnError."""
    if (objection := _objection(options)) is not None:
        raise NotSharedError(objection)
    meeting = Meeting(options)
    netio.harden()  # the secret is in this memory
    with contextlib.ExitStack() as undo:
        undo.enter_context(_ended_by_signals())
        request, descriptors = _request(options, undo)
        outcome = _ask_the_run(options, request, descriptors)
        if outcome.taken or outcome.code is not None:
            return _end(options, outcome)
        for _ in range(TRIES):
            outcome = _ask(meeting, options, request, descriptors)
            while outcome.taken and outcome.code is None and options.pipe is None:
                log.warning("the shared node was lost; starting another one")
                time.sleep(PAUSE_S)
                outcome = _ask(meeting, options, request, descriptors)
            if outcome.taken or outcome.code is not None:
                return _end(options, outcome)
    raise NotSharedError("shared nodes end as soon as they are asked")


def _objection(options: ClientOptions) -> str | None:
    """Why this command is to have a node of its own; None when it may share one."""
    if not options.share:
        return "--no-share"
    if options.id_file is not None:
        return "-I asks for an ID of its own"
    service = (options.daemonize, options.pid_file, options.user, options.metrics_port)
    if any(service) or "NOTIFY_SOCKET" in os.environ:
        return "a service of its own has a node of its own"
    return None


def _request(options: ClientOptions, undo: contextlib.ExitStack) -> tuple[Message, list[int]]:
    """What to ask for, and the descriptors. Raises LinkError, ToxvpnError (listeners)."""
    level = logging.getLogger("toxvpn").getEffectiveLevel()
    request: Message = {"level": level, "peer": options.server.public_key.hex()}
    if options.proxy is not None:
        request["proxy"] = str(options.proxy)
    if options.ping:
        return request | {"do": "ping"}, []
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
        raise NotSharedError(f"{len(bound)} listeners are too many to hand over")
    return request | {"do": "listen", "listeners": listeners}, [each.fileno() for each in bound]


def _ask_the_run(options: ClientOptions, request: Message, descriptors: list[int]) -> Outcome:
    """Of the toxvpn that runs here, and knows the peer: it has the identity that this command would need.

    Whoever has given a secret, or a road, means a node of that kind.
    """
    connection = None
    if options.secret is None and options.road is RoadPolicy.AUTO:
        connection = connect_to_run(options.directory)
    if connection is None:
        return Outcome(taken=False)
    return _hand_over(connection, options, request, descriptors)


def _ask(meeting: Meeting, options: ClientOptions, request: Message, descriptors: list[int]) -> Outcome:
    return _hand_over(_connected(meeting, options), options, request, descriptors)


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
            _say_good_bye(connection)
            raise


def _connected(meeting: Meeting, options: ClientOptions) -> socket.socket:
    """Raises NotSharedError."""
    connection = meeting.connect()
    if connection is not None:
        return connection
    if options.ping:
        raise NotSharedError("none runs, and a ping needs none that stays")
    from .start import connect_or_start  # and what it takes to start a process

    return connect_or_start(meeting, options)


def _follow(connection: socket.socket, options: ClientOptions) -> Outcome:
    """Until the node has said its last word, or is lost."""
    taken = False
    while True:
        try:
            message, _ = receive(connection)
        except NonsenseError as error:
            raise LinkError(f"the shared node says what cannot be understood: {error}") from None
        if message is None:
            return Outcome(taken)
        if "log" in message:
            logging.getLogger(message["name"]).log(message["log"], "%s", message["text"])
        elif "taken" in message:
            taken = True
            if options.pipe is not None:
                _let_go_of_stdio()
        elif "ended" in message:
            return Outcome(taken, message["ended"], message["text"])


def _let_go_of_stdio() -> None:
    """Who reads our stdout is to see the end of it as soon as the node has closed it."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1):
        os.dup2(nothing, standard)
    os.close(nothing)


def _say_good_bye(connection: socket.socket) -> None:
    """Waits until the node has let go: the next command may want the same ports."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(GOOD_BYE_S)
        while connection.recv(1):
            pass


def _end(options: ClientOptions, outcome: Outcome) -> int:
    """The exit code, when it is 0. Raises the node's error."""
    if outcome.code is None and options.pipe is not None:
        raise LinkError(f"{options.pipe}: the node that carried it was lost")
    if outcome.code is None:
        raise ToxvpnError("the toxvpn that ran here has ended, and with it what it did for this command")
    if outcome.code == LinkError.exit_code:
        raise LinkError(outcome.text)
    if outcome.code:
        raise error_for(outcome.code, outcome.text)
    if outcome.text:
        print(outcome.text)  # noqa: T201
    return 0


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SystemExit with 128 + n when signal n comes."""

    def stop(number: int, _: FrameType | None) -> None:
        log.info("stopped by %s", signal.Signals(number).name)
        sys.exit(128 + number)

    before: dict[signal.Signals, Any] = {}
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
