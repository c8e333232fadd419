"""The messages between a command and the node that it uses: JSON objects, with descriptors beside them.

The command sends one request, and closes the connection when it ends:

    {"do": "pipe", "level": 30, "peer": KEY, "target": "localhost:22"}                    stdin, stdout
    {"do": "listen", "level": 20, "peer": KEY, "listeners": [
        {"told": "[::1]:80, 127.0.0.1:80", "target": "localhost:80", "sockets": 2}]}    the sockets
    {"do": "listen-there", "level": 20, "peer": KEY, "listeners": [...], "again": false,
        "remotes": [{"addresses": ["127.0.0.1"], "port": 0, "transport": "tcp", "path": null,
                     "target": "localhost:80"}]}
    {"do": "ping", "level": 20, "peer": KEY}
    {"do": "speed", "level": 30, "peer": KEY, "seconds": 5.0}
    {"do": "builtin", "level": 20, "peer": KEY, "name": "@files", "version": 1}

`level` is the lowest that its log shows; `target` null is SOCKS5. `peer` is the public key in hex, and
`"proxy": URL` the proxy that the peer must be called through, if any: they matter only to a run that was not
started for this command. `remotes` are those of -R, and `listeners` as above; with `again` they are asked for
until the peer has them, otherwise the first refusal ends the command. The node answers with any number of

    {"log": 20, "name": "toxvpn.tox", "text": "peer 01234567: udp"}
    {"print": "allocated port 43210 for remote forward to localhost:80"}

with one {"speed": …} for each moment of a speed test and its result (tcpforward/speed/client.py),
with one {"taken": true} as soon as the descriptors are its own, or {"stream": true} with the descriptor of a
stream to the built-in target, and at the end with
{"ended": 255, "text": "..."}: an exit code, and what to show.
"""

import json
import logging
import socket
from collections.abc import Sequence
from typing import Any

from .. import descriptors

PROTOCOL = 2
"""Part of the socket's name, so that a node and a command of different versions never meet."""

KIND = socket.SOCK_SEQPACKET
MOST_BYTES = 160 * 1024  # the most listeners with the longest names; a socket takes 208 KiB (wmem_default)
MOST_DESCRIPTORS = 253  # SCM_MAX_FD in the kernel's net/scm.h
MOST_NUMBER = 255

Message = dict[str, Any]


class BadMessageError(Exception):
    """A message that cannot be understood, or asks for what is not here: the connection is closed."""


def encode(message: Message) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()


def send(connection: socket.socket, message: Message, along: Sequence[int] = ()) -> None:
    """Sends the message, with the descriptors `along`. Raises OSError."""
    socket.send_fds(connection, [encode(message)], along)


def receive(connection: socket.socket) -> tuple[Message | None, list[int]]:
    """The next message, None when the other side has ended; and the descriptors, which are the caller's.

    Raises OSError, BadMessageError.
    """
    data, received, is_cut = descriptors.receive(connection, MOST_BYTES, MOST_DESCRIPTORS)
    if is_cut:
        descriptors.close(received)
        raise BadMessageError("the message was cut short")
    if not data:
        return None, received
    try:
        message = json.loads(data)
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        descriptors.close(received)
        raise BadMessageError("the message is not a JSON object")
    return message, received


def text_of(message: Message, name: str) -> str:
    """What the message says under that name, for a terminal. Raises BadMessageError."""
    value = message.get(name)
    if not isinstance(value, str):
        raise BadMessageError(f"{name!r} is not text")
    return harmless(value)


def number_of(message: Message, name: str) -> int:
    """A number that is small, as levels and exit codes are. Raises BadMessageError."""
    value = message.get(name)
    if type(value) is not int or not 0 <= value <= MOST_NUMBER:
        raise BadMessageError(f"{name!r} is not a number up to {MOST_NUMBER}")
    return value


def log_line(message: Message) -> None:
    """Logs what the node has logged. Raises BadMessageError."""
    name, level, text = text_of(message, "name"), number_of(message, "log"), text_of(message, "text")
    logging.getLogger(name).log(level, "%s", text)


def harmless(text: str) -> str:
    """For a terminal: the run that said it may be another user's, and nothing in it is to steer root's."""
    return "".join(each if each.isprintable() or each == "\n" else "\ufffd" for each in text)
