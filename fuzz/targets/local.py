"""Local sockets: the control socket, and the one of a shared node. The other side may be another user's."""

import contextlib
import socket

from toxvpn import descriptors
from toxvpn.control.protocol import (
    MAX_REQUEST_BYTES,
    BadRequestError,
    LineReader,
    decode_answer,
    decode_request,
    encode_request,
)
from toxvpn.errors import ToxvpnError
from toxvpn.share import messages
from toxvpn.share.messages import BadMessageError

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
