"""Host names to addresses for the peers we serve: a limited number at once for each, and for all together.

Names in the hosts file are known at once (hosts.py). For any other the system's resolver is asked
(tox/resolver.py), in a thread that cannot be cancelled, only be left behind. Such a thread counts until the
resolver gives up, so a peer that asks for many dead names waits for its own.
"""

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from weakref import WeakKeyDictionary

from ..tox.resolver import AddressInfos, look_up
from .hosts import Hosts

MAX_LOOKUPS = 64
MAX_LOOKUPS_OF_ONE = 8

LookUp = Callable[[str], Awaitable[AddressInfos]]
"""Raises OSError. Waits as long as it takes: the caller has a time limit."""


@dataclass(slots=True)
class _Question:
    answer: asyncio.Task[AddressInfos]
    waiting: int = 0


@dataclass(slots=True)
class _Asker:
    free: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_LOOKUPS_OF_ONE))
    questions: dict[str, _Question] = field(default_factory=dict)


class LookUps:
    """All look-ups of one event loop."""

    def __init__(self, hosts: Hosts | None = None) -> None:
        self._hosts = hosts or Hosts()
        self._free = asyncio.Semaphore(MAX_LOOKUPS)
        self._askers: WeakKeyDictionary[object, _Asker] = WeakKeyDictionary()

    def of(self, asker: object) -> LookUp:
        """The function by which that asker, a peer, looks names up. The object is not kept alive."""
        return partial(self._look_up, self._askers.setdefault(asker, _Asker()))

    async def _look_up(self, asker: _Asker, name: str) -> AddressInfos:
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

    async def _ask(self, asker: _Asker, name: str) -> AddressInfos:
        """Asks the resolver, as soon as there is a place for one more thread. Raises OSError."""
        await asker.free.acquire()
        try:
            await self._free.acquire()
        except BaseException:
            asker.free.release()
            raise
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[AddressInfos] = loop.create_future()

        def on_answer(found: AddressInfos, failure: OSError | None) -> None:
            asker.free.release()  # only now: the thread may outlive who asked
            self._free.release()
            if answer.done():
                return
            if failure is None:
                answer.set_result(found)
            else:
                answer.set_exception(failure)

        look_up(loop, name, socket.SOCK_STREAM, on_answer)
        return await answer


def alone() -> LookUp:
    """Look-ups for an asker that shares the limits with nobody."""
    lookups = LookUps()
    return lookups.of(lookups)


def numeric(host: str) -> AddressInfos:
    """The getaddrinfo answer for a numeric address; empty for a name. Raises OSError if it can be neither."""
    try:
        return socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except OSError:
        return []
    except UnicodeError:  # what the idna codec makes of a label that is empty or too long
        raise OSError(errno.EINVAL, "not a valid host name") from None
