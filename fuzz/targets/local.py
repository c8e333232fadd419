"""Local sockets: the control socket, and the one of a shared node. The other side may be another user's."""

import contextlib
import socket
from collections.abc import Callable
from io import StringIO

from toxvpn import descriptors
from toxvpn.config.options import ClientOptions
from toxvpn.control.protocol import (
    MAX_REQUEST_BYTES,
    BadRequestError,
    LineReader,
    decode_answer,
    decode_request,
    encode_request,
)
from toxvpn.errors import ToxvpnError
from toxvpn.share import borrow, command, messages
from toxvpn.share.messages import BadMessageError
from toxvpn.wire.toxid import ToxId

from ..target import Choices, pieces, target


@target
def control_request(data: bytes) -> None:
    """Lines of a client, in any pieces: requests, whose arguments are read, or an error."""
    reader = LineReader(MAX_REQUEST_BYTES)
    for piece in pieces(data, Choices(data)):
        for line in reader.feed(piece):
            with contextlib.suppress(BadRequestError):
                request = decode_request(line)
                assert decode_request(encode_request(request)) == request
                for name in request.arguments:
                    for read in (request.text, request.texts, request.optional_number, request.flag):
                        with contextlib.suppress(BadRequestError):
                            read(name)


@target
def control_answer(data: bytes) -> None:
    """Lines of a run: a result, or the error that it tells."""
    for line in data.split(b"\n"):
        with contextlib.suppress(ToxvpnError):
            decode_answer(line)


OPTIONS = ClientOptions(server=ToxId(bytes(32), bytes(4)))
FOLLOWERS: list[Callable[[socket.socket], object]] = [
    lambda connection: command._follow(connection, OPTIONS),
    lambda connection: borrow._ask(connection, {}),
]


@target
def node_answers(data: bytes) -> None:
    """What a node says to a command: an outcome, or an error for a person."""
    choices = Choices(data)
    follow = choices.pick(FOLLOWERS)
    ours, theirs = socket.socketpair(socket.AF_UNIX, messages.KIND)
    ours.setblocking(False)
    with ours, theirs, contextlib.redirect_stdout(StringIO()):
        for line in choices.rest().split(b"\n")[:16]:
            theirs.send(line or b" ")
        theirs.close()
        with contextlib.suppress(ToxvpnError, OSError):
            follow(ours)


@target
def shared_message(data: bytes) -> None:
    """A message with descriptors beside it: a message, or BadMessageError; no descriptor is lost."""
    choices = Choices(data)
    handed = choices.below(4)
    ours, theirs = socket.socketpair(socket.AF_UNIX, messages.KIND)
    with ours, theirs:
        socket.send_fds(theirs, [choices.rest() or b" "], [theirs.fileno()] * handed)
        try:
            message, received = messages.receive(ours)
        except BadMessageError:
            return
        assert isinstance(message, dict)
        assert len(received) == handed
        descriptors.close(received)
