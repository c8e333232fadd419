"""The client of the control socket, for the command line: one call, one answer, no event loop.

Neighbours: protocol.py encodes requests and decodes answers; cli/ask.py is the main user.
"""

import contextlib
import os
import select
from pathlib import Path
from typing import Any, Self

from ..errors import NoPermissionError, NotRunningError, ToxvpnError
from . import socketfile
from .compat import with_defaults
from .protocol import MAX_ANSWER_BYTES, ControlRequest, decode_answer, encode_request

ANSWER_S = 10.0
"""How long to wait for an answer; a running toxvpn answers at once unless its event loop is stuck."""


class ControlClient:
    """A connection to the toxvpn whose control socket is in `directory`.

    Raises NotRunningError when none is running, NoPermissionError when it belongs to another user.
    """

    def __init__(self, directory: Path) -> None:
        path = directory / socketfile.SOCKET_NAME
        try:
            self._socket = socketfile.connect(directory, ANSWER_S)
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            raise NotRunningError(
                f"toxvpn is not running (nothing answers at {path}): start it with `toxvpn up`"
            ) from None
        except PermissionError:
            raise NoPermissionError(
                f"{path} belongs to another user: only that user and root may control this toxvpn (try sudo)"
            ) from None
        except OSError as error:
            raise ToxvpnError(f"toxvpn does not answer at {path}: {error}") from error
        self._answers = self._socket.makefile("rb")

    def call(self, do: str, *, answer_s: float | None = ANSWER_S, **arguments: object) -> Any:
        """Send one request and return its result; arguments that are None are left out.

        With `answer_s` None it waits for ever. Raises the error that the daemon answers with, ToxvpnError
        when it does not answer in time, NotRunningError when it ends without an answer.
        """
        present = {name: value for name, value in arguments.items() if value is not None}
        self._socket.settimeout(answer_s)
        try:
            # a refused client gets an error and is disconnected, maybe before it sends its request
            with contextlib.suppress(BrokenPipeError):
                self._socket.sendall(encode_request(ControlRequest(do, present)))
            line = self._answers.readline(MAX_ANSWER_BYTES)
        except TimeoutError:
            raise ToxvpnError(f"toxvpn is running but did not answer {do!r} within {answer_s:g} s") from None
        except ConnectionResetError:
            line = b""
        if not line.endswith(b"\n"):
            raise NotRunningError("toxvpn ended or closed the connection before it answered")
        answer = decode_answer(line)
        return with_defaults(answer) if do == "status" else answer

    def process(self) -> "PidFd | None":
        """The daemon's process; None when it runs in another pid namespace or has ended."""
        pid = socketfile.credentials(self._socket).pid
        try:
            return PidFd(os.pidfd_open(pid)) if pid else None
        except OSError:
            return None

    def ended(self, timeout_s: float) -> bool:
        """Whether the daemon closes the connection within that time."""
        self._socket.settimeout(timeout_s)
        try:
            return not self._answers.read(1)
        except TimeoutError:
            return False
        except OSError:
            return True

    def close(self) -> None:
        self._answers.close()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class PidFd:
    """A process to wait for that is not a child of ours (pidfd_open(2))."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def wait(self, timeout_s: float) -> bool:
        """Whether it ends within that time."""
        return bool(select.select([self._descriptor], [], [], timeout_s)[0])

    def close(self) -> None:
        os.close(self._descriptor)


def call(directory: Path, do: str, *, answer_s: float | None = ANSWER_S, **arguments: object) -> Any:
    """Make one call on a connection of its own. Raises what ControlClient and its `call` raise."""
    with ControlClient(directory) as client:
        return client.call(do, answer_s=answer_s, **arguments)
