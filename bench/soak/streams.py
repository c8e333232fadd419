"""One stream, both ends of it in this process: every byte is checked, and how each end ended.

The end that calls says first which stream it is (a token). It ends its direction when all is sent; the end
that was called does so when it has received all as well. So if the caller sees a whole stream, it was whole.
"""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from random import Random

from .content import Content

TOKEN_BYTES = 8
MOST_BYTES = 64 * 1024
MOST_PORTIONS = 60
SETTLE_S = 0.2
LEFT_S = 60.0
"""While no path leads to the caller, the target's side learns of an end by a silence of 32 s, if awake."""


class Ending(Enum):
    WHOLE = "whole"
    RESET = "reset"
    CUT = "cut short without a reset"
    WRONG = "wrong bytes"
    LEFT = "left open after the other end had ended"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a stream carries: bytes up (from the caller) and down, a portion every `pause_s`, and a rest.

    In the middle of it the stream says nothing for `idle_s`.
    """

    token: bytes
    up_bytes: int
    down_bytes: int
    portion_bytes: int
    pause_s: float
    idle_s: float = 0.0

    @classmethod
    def of(cls, random: Random, most_bytes: int) -> "Plan":
        """Small ones are as frequent as large ones."""

        def size() -> int:
            return int(most_bytes ** random.random()) - 1

        return cls(
            token=random.randbytes(TOKEN_BYTES),
            up_bytes=size(),
            down_bytes=size(),
            portion_bytes=max(random.randint(1, MOST_BYTES), most_bytes // MOST_PORTIONS),
            pause_s=random.choice((0.0, 0.02, 0.05)),
            idle_s=random.choice((0.0, 0.0, 4.0)),
        )


class End:
    """One end: sends `sends` bytes and expects `expects`. `finish_last`: it ends after the other one."""

    def __init__(self, sock: socket.socket, plan: Plan, *, called: bool) -> None:
        self.sock = sock
        self.received_bytes = 0
        self._plan, self._called = plan, called
        self._sends, self._expects = (
            (plan.down_bytes, plan.up_bytes) if called else (plan.up_bytes, plan.down_bytes)
        )
        self._outgoing = Content((plan.token, "down" if called else "up"))
        self._incoming = Content((plan.token, "up" if called else "down"))
        self._has_all = asyncio.Event()

    async def run(self) -> Ending:
        """Carries it to its end, and closes the socket."""
        loop = asyncio.get_running_loop()
        sending = loop.create_task(self._send())
        try:
            ending = await self._receive()
            if ending is Ending.WHOLE:
                await sending
            elif ending is Ending.CUT:
                # a reset may have been told to the sender alone
                await asyncio.wait({sending}, timeout=SETTLE_S)
                if sending.done() and sending.exception():
                    ending = Ending.RESET
        except OSError:
            return Ending.RESET
        finally:
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await sending
            self.sock.close()
        return ending

    async def _send(self) -> None:
        loop = asyncio.get_running_loop()
        left = self._sends
        has_rested = False
        while left:
            portion = self._outgoing.take(min(left, self._plan.portion_bytes))
            await loop.sock_sendall(self.sock, portion)
            left -= len(portion)
            rests = not has_rested and left <= self._sends // 2
            has_rested |= rests
            await asyncio.sleep(self._plan.idle_s if rests else self._plan.pause_s)
        if self._called:
            await self._has_all.wait()
        self.sock.shutdown(socket.SHUT_WR)

    async def _receive(self) -> Ending:
        loop = asyncio.get_running_loop()
        while data := await loop.sock_recv(self.sock, MOST_BYTES):
            self.received_bytes += len(data)
            if self.received_bytes > self._expects or data != self._incoming.take(len(data)):
                return Ending.WRONG
        if self.received_bytes < self._expects:
            return Ending.CUT
        self._has_all.set()
        return Ending.WHOLE


Accepted = Callable[[socket.socket], Awaitable[None]]


class Listener:
    """A target of streams: hands each one to who waits for its token."""

    def __init__(self, listener: socket.socket) -> None:
        listener.setblocking(False)
        self._listener = listener
        self._expected: dict[bytes, asyncio.Future[socket.socket]] = {}
        self._tasks = {asyncio.create_task(self._accept())}

    def expect(self, token: bytes) -> "asyncio.Future[socket.socket]":
        """The socket of the stream with this token, once it has come; to be cancelled otherwise."""
        future: asyncio.Future[socket.socket] = asyncio.get_running_loop().create_future()
        self._expected[token] = future
        future.add_done_callback(lambda _: self._expected.pop(token))
        return future

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._listener.close()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            sock, _ = await loop.sock_accept(self._listener)
            sock.setblocking(False)
            task = loop.create_task(self._greet(sock))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _greet(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        token = b""
        try:
            while len(token) < TOKEN_BYTES and (data := await loop.sock_recv(sock, TOKEN_BYTES - len(token))):
                token += data
        except OSError:
            token = b""
        future = self._expected.get(token)
        if future is None or future.done():
            sock.close()
        else:
            future.set_result(sock)


@dataclass(frozen=True, slots=True)
class Carried:
    """How both ends of a stream ended; `far` is None where it never arrived there."""

    near: Ending
    far: Ending | None
    bytes: int


async def carry(near_sock: socket.socket, listener: Listener, plan: Plan) -> Carried:
    """Carries a stream from `near_sock`, which is connected to a way to `listener`, until both ends ended."""
    loop = asyncio.get_running_loop()
    arrival = listener.expect(plan.token)
    near = End(near_sock, plan, called=False)
    far: End | None = None

    async def called() -> Ending:
        nonlocal far
        far = End(await arrival, plan, called=True)
        return await far.run()

    far_task = loop.create_task(called())
    try:
        await loop.sock_sendall(near_sock, plan.token)
        near_ending = await near.run()
    except OSError:
        near_ending = Ending.RESET
    finally:
        near_sock.close()
        if not far_task.done():
            await _ended(far_task, LEFT_S if far else SETTLE_S)
        arrival.cancel()
    far_ending = None if far is None else Ending.LEFT if far_task.cancelled() else far_task.result()
    return Carried(near_ending, far_ending, near.received_bytes + (far.received_bytes if far else 0))


async def _ended(task: "asyncio.Task[Ending]", within_s: float) -> None:
    """Waits for it, and cancels it after that."""
    await asyncio.wait({task}, timeout=within_s)
    task.cancel()
    await asyncio.wait({task})
