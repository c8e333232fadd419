"""The private stack: kernel TCP of our own, apart from the host's network, over one TUN interface.

In: our overlay address. Out: the TUN descriptor (for the datapath, which carries its packets through
Tox), a listener on it (for the serving side), sockets to connect with (for the calling side). All
of it belongs to a namespace that a helper process made (`helper.py`); nothing of the host's
network is touched, and nothing is left when the last descriptor is closed.

Where the machine does not allow it, StackUnavailableError says why, and forwards take the tuntox road.
"""

import asyncio
import contextlib
import errno
import json
import os
import socket
import subprocess
from collections import deque
from collections.abc import Iterator
from ipaddress import IPv6Address
from typing import Any, Self

from ... import descriptors as passed
from ...errors import ToxvpnError
from ...interpreter import start_helper
from ...state.files import why_not_started
from ...tun.host.device import Offload, TunDevice
from ...wire.addressing import OVERLAY_IPV6
from ...wire.ip import STACK_MTU
from . import patience

FORWARD_PORT = 1080  # where the serving side listens on its stack, with SOCKS5
START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 2.0
REQUESTS: dict[int, str] = {socket.SOCK_STREAM: "sockets", socket.SOCK_DGRAM: "datagrams"}
SPARE_SOCKETS = 16  # asked for at once, so that most streams wait for no answer of the helper
ANSWER_BYTES = 4096

HELPER = "from toxvpn.tcpforward.fast import helper; helper.main(int(sys.argv[1]), int(sys.argv[2]))"


class StackUnavailableError(ToxvpnError):
    """No private stack here, or not any more; `str()` is the reason, for log and status."""


class OutOfDescriptorsError(StackUnavailableError):
    """There is a private stack, but no descriptor for one more socket of it."""


Helper = tuple[socket.socket, "subprocess.Popen[bytes]"]
"""Our end of the control socket, and the helper process."""

_early: list[Helper] = []
"""At most one helper that has been started, before it is told what to build."""

_Answer = tuple[dict[str, Any], list[int]]  # the message, and the descriptors beside it


class Stack:
    """Made by `start`, and running until `close`.

    `lost` is done, with the reason, as soon as the helper is gone. Then there are no new sockets;
    those there are, and the TUN, go on working.
    """

    tun: TunDevice

    def __init__(
        self, address: IPv6Address, control: socket.socket, helper: "subprocess.Popen[bytes]"
    ) -> None:
        self.address = address
        self._loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[str] = self._loop.create_future()
        self._control = control
        self._helper = helper
        self._helper_fd = os.pidfd_open(helper.pid)
        self._answers: deque[asyncio.Future[_Answer]] = deque()  # those awaited, in the order of the requests
        self._spare: dict[int, deque[socket.socket]] = {kind: deque() for kind in REQUESTS}
        self._refilling = asyncio.Lock()
        self._loop.add_reader(self._control, self._on_answers)
        self._loop.add_reader(self._helper_fd, self._on_exit)

    @property
    def udp_offload(self) -> bool:
        """Whether the kernel takes UDP super-packets."""
        return bool(self.tun.offload & Offload.USO4)

    @classmethod
    async def start(cls, address: IPv6Address, keep_s: int = patience.DEFAULT_S) -> Self:
        """`address` is ours in the overlay; streams wait `keep_s` for an answer. Takes about 0.3 s.

        Raises StackUnavailableError.
        """
        control, helper = _early.pop() if _early else _spawn()
        stack = cls(address, control, helper)
        try:
            stack._send({"address": str(address), "prefix": str(OVERLAY_IPV6), "mtu": STACK_MTU,
                         "uid": os.getuid(), "gid": os.getgid(), "keep_s": keep_s})  # fmt: skip
            async with asyncio.timeout(START_TIMEOUT_S):
                facts, descriptors = await stack._answer()
        except TimeoutError:
            await stack.close()
            raise StackUnavailableError(
                f"the helper process did not answer in {START_TIMEOUT_S:g} s"
            ) from None
        except BaseException:
            await stack.close()
            raise
        stack.tun = TunDevice(descriptors[0], facts["name"], facts["vnet_hdr"], Offload(facts["offload"]))
        return stack

    async def listen(self, port: int) -> socket.socket:
        """A non-blocking listener on the stack's address. Raises StackUnavailableError."""
        _, descriptors = await self._ask({"listen": port})
        return _socket(descriptors[0])

    async def datagram_socket(self) -> socket.socket:
        """A fresh non-blocking UDP socket over IPv6. Raises as `socket` does."""
        return await self._take(socket.SOCK_DGRAM)

    async def _take(self, kind: int) -> socket.socket:
        spare = self._spare[kind]
        async with self._refilling:
            if not spare:
                _, descriptors = await self._ask({REQUESTS[kind]: SPARE_SOCKETS})
                spare.extend(_socket(fd, kind) for fd in descriptors)
            return spare.popleft()

    async def socket(self) -> socket.socket:
        """A fresh non-blocking TCP socket over IPv6, to connect with. Raises StackUnavailableError.

        Of that OutOfDescriptorsError, which passes, and says nothing about the road.
        """
        return await self._take(socket.SOCK_STREAM)

    async def close(self) -> None:
        """Ends the helper. Readers of the TUN descriptor must have let go of it before."""
        if self._control.fileno() < 0:
            return
        self._loop.remove_reader(self._control)
        self._control.close()
        for spare in self._spare.values():
            while spare:
                spare.pop().close()
        if hasattr(self, "tun"):
            self.tun.close()
            del self.tun
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await asyncio.shield(self.lost)
        if not self.lost.done():
            self._helper.kill()
            await self.lost

    async def _ask(self, request: dict[str, int]) -> "_Answer":
        if self.lost.done():
            raise StackUnavailableError(self.lost.result())
        self._send(request)
        return await self._answer()

    def _send(self, message: dict[str, Any]) -> None:
        """Raises StackUnavailableError."""
        try:
            self._control.send(json.dumps(message).encode())
        except OSError as error:
            raise StackUnavailableError(f"the helper process does not answer: {error.strerror}") from None

    async def _answer(self) -> "_Answer":
        future: asyncio.Future[_Answer] = self._loop.create_future()
        self._answers.append(future)
        return await future

    def _on_answers(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._control.fileno() >= 0:
                data, descriptors, _ = passed.receive(self._control, ANSWER_BYTES, SPARE_SOCKETS)
                if not data:
                    self._loop.remove_reader(self._control)
                    return
                _settle(self._answers.popleft(), json.loads(data), descriptors)

    def _on_exit(self) -> None:
        self._on_answers()  # its last word may explain it
        self._loop.remove_reader(self._helper_fd)
        os.close(self._helper_fd)
        reason = f"the helper process has ended with status {self._helper.wait()}"
        self.lost.set_result(reason)
        for future in self._answers:
            if not future.done():
                future.set_exception(StackUnavailableError(reason))


@contextlib.contextmanager
def early_helper() -> Iterator[None]:
    """Starts the helper of the first stack now, with the rights that we have and are about to give up.

    They let it have a network namespace where ordinary users may not; it gives them up when that is built.
    """
    with contextlib.suppress(StackUnavailableError):  # `Stack.start` tries again, and tells
        _early.append(_spawn())
    try:
        yield
    finally:
        while _early:
            control, helper = _early.pop()
            control.close()  # at which it ends by itself,
            with contextlib.suppress(PermissionError):  # and at once, if we are still who we were
                helper.kill()
            helper.wait()


def _spawn() -> Helper:
    """Raises StackUnavailableError."""
    try:
        control, helper = start_helper(HELPER)
    except OSError as error:
        raise StackUnavailableError(f"the helper process did not start: {why_not_started(error)}") from None
    control.setblocking(False)
    return control, helper


def _settle(future: "asyncio.Future[_Answer]", answer: dict[str, Any], descriptors: list[int]) -> None:
    if future.done():  # who asked has been cancelled
        passed.close(descriptors)
    elif "error" in answer:
        future.set_exception(StackUnavailableError(answer["error"]))
    elif not descriptors:  # they are lost when we have no room for them
        future.set_exception(OutOfDescriptorsError(os.strerror(errno.EMFILE)))
    else:
        future.set_result((answer, descriptors))


def _socket(fd: int, kind: int = socket.SOCK_STREAM) -> socket.socket:
    sock = socket.socket(socket.AF_INET6, kind, fileno=fd)
    sock.setblocking(False)
    return sock
