"""What a command and the shared node say to each other: a JSON object a packet, descriptors beside it.

The command speaks once, and hangs up when it ends:

    {"do": "pipe", "level": 30, "peer": KEY, "target": "localhost:22"}                    stdin, stdout
    {"do": "listen", "level": 20, "peer": KEY, "listeners": [
        {"told": "[::1]:80, 127.0.0.1:80", "target": "localhost:80", "sockets": 2}]}    the sockets
    {"do": "ping", "level": 20, "peer": KEY}

`level` is the least that its log shows; `target` null is SOCKS5. `peer` is the public key in hex, and
`"proxy": URL` what it has to be called through, if anything: only a run, which nobody started for this
command, looks at them. The node answers with any number of

    {"log": 20, "name": "toxvpn.tox", "text": "peer 01234567: udp"}

and one {"taken": true} as soon as the descriptors are its own, and {"ended": 255, "text": "..."} at the
end: an exit code, and what to show.
"""

import json
import socket
from collections.abc import Sequence
from typing import Any

from .. import descriptors as passed

PROTOCOL = 1
"""Part of the socket's name: who speaks another one is never met."""

KIND = socket.SOCK_SEQPACKET
MOST_BYTES = 160 * 1024  # the most listeners with the longest names; a socket takes 208 KiB (wmem_default)
MOST_DESCRIPTORS = 253  # SCM_MAX_FD in the kernel's net/scm.h

Message = dict[str, Any]


class NonsenseError(Exception):
    """What came is no message."""


def encode(message: Message) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()


def send(connection: socket.socket, message: Message, descriptors: Sequence[int] = ()) -> None:
    """Raises OSError."""
    socket.send_fds(connection, [encode(message)], descriptors)


def receive(connection: socket.socket) -> tuple[Message | None, list[int]]:
    """None: the other side has ended. The descriptors are the caller's. Raises OSError, NonsenseError."""
    data, descriptors, is_cut = passed.receive(connection, MOST_BYTES, MOST_DESCRIPTORS)
    if is_cut:
        passed.close(descriptors)
        raise NonsenseError("it was cut short")
    if not data:
        return None, descriptors
    try:
        message = json.loads(data)
    except ValueError:
        message = None
    if not isinstance(message, dict):
        passed.close(descriptors)
        raise NonsenseError("it is no JSON object")
    return message, descriptors
