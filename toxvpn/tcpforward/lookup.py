"""Host names to addresses, for those whose requests we serve: so many at once for each, and altogether.

What the hosts file has is known at once (hosts.py). Anything else is asked of the system's resolver, whose
`getaddrinfo` cannot be cancelled, only be left behind, each call in a daemon thread of its own: in
asyncio's pool a few names with dead servers would hold up the exit as well. A thread that was left behind
keeps its place until the resolver gives up, so whoever asks for many such names waits for its own.
"""

import asyncio
import contextlib
import errno
import socket
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from .hosts import Hosts

MAX_LOOKUPS = 64
MAX_OF_ONE = 8

Found = list[Any]
"""As getaddrinfo gives it, with port 0."""
LookUp = Callable[[str], Awaitable[Found]]
"""Raises OSError. Waits as long as it takes: the caller has a time limit."""


@dataclass(slots=True)
class _Question:
    answer: asyncio.Task[Found]
    waiting: int = 0


@dataclass(slots=True)
class _Asker:
    free: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_OF_ONE))
    questions: dict[str, _Question] = field(default_factory=dict)


class LookUps:
    """For one event loop."""

    def __init__(self, hosts: Hosts | None = None) -> None:
        self._hosts = hosts or Hosts()
        self._free = asyncio.Semaphore(MAX_LOOKUPS)
        self._askers: WeakKeyDictionary[object, _Asker] = WeakKeyDictionary()

    def of(self, asker: object) -> LookUp:
        """How that one, a peer, looks names up. The object stands for who it is, and is not kept alive."""
        return partial(self._look_up, self._askers.setdefault(asker, _Asker()))

    async def _look_up(self, asker: _Asker, name: str) -> Found:
        if addresses := self._hosts.addresses(name):
            return [info for address in addresses for info in numeric(address)]
        question = asker.questions.get(name)
        if question is None:  # else connections to one name wait for one answer
            question = _Question(asyncio.create_task(self._ask(asker, name)))
            asker.questions[name] = question
        question.waiting += 1
        try:
            return await asyncio.shield(question.answer)
        finally:
            question.waiting -= 1
            if not question.waiting:
                question.answer.cancel()
                del asker.questions[name]

    async def _ask(self, asker: _Asker, name: str) -> Found:
        """In a thread, as soon as there is a place for one."""
        await asker.free.acquire()
        try:
            await self._free.acquire()
        except BaseException:
            asker.free.release()
            raise

        def ended() -> None:
            asker.free.release()
            self._free.release()

        return await _in_thread(name, ended)


def alone() -> LookUp:
    """For one that shares with nobody."""
    lookups = LookUps()
    return lookups.of(lookups)


async def _in_thread(name: str, ended: Callable[[], None]) -> Found:
    """`ended` is called once, when the thread has ended, however late that is. Raises OSError."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Found] = loop.create_future()

    def settle(found: Found, failure: OSError | None) -> None:
        ended()
        if answer.done():
            return
        if failure is None:
            answer.set_result(found)
        else:
            answer.set_exception(failure)

    def work() -> None:
        found: Found = []
        failure = None
        try:
            found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except OSError as error:
            failure = error
        except Exception as error:
            failure = OSError(errno.EINVAL, str(error))
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, found, failure)

    try:
        threading.Thread(target=work, name="look-up", daemon=True).start()
    except RuntimeError as error:  # there are too many of this user's, or of the machine's
        settle([], OSError(errno.EAGAIN, str(error)))
    return await answer


def numeric(host: str) -> Found:
    """What getaddrinfo makes of an address; nothing for a name. Raises OSError: it can be neither."""
    try:
        return socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except OSError:
        return []
    except UnicodeError:  # what the idna codec makes of a label that is empty or too long
        raise OSError(errno.EINVAL, "no host name") from None
