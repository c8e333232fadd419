"""Computes digests beside the socket's work: BLAKE2b takes longer for a byte than the kernel does.

A `Lane` runs one piece of work after the other in a thread of its own, with a few buffers that go round.
"""

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import blake2b
from typing import Any

from ..wire.filetransfer import DIGEST_BYTES, MOST_CHUNK_BYTES
from .channel import BUSY_S

BUFFERS = 4
PIECE_BYTES = 256 * 1024
"""What is read at once, and sent as one chunk: a chunk counts when all of it has come."""


class ReadError(Exception):
    """A file that is being sent cannot be read any more."""


def new_digest() -> "blake2b":
    return blake2b(digest_size=DIGEST_BYTES)


class Lane:
    """A thread, and buffers of MOST_CHUNK_BYTES; what fails in it is raised by the next call."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._free = deque(memoryview(bytearray(MOST_CHUNK_BYTES)) for _ in range(BUFFERS))
        self._work: deque[tuple[Future[Any], memoryview]] = deque()

    def buffer(self) -> memoryview:
        """A buffer that no work uses."""
        if not self._free:
            self._finish_one()
        return self._free.popleft()

    def run(self, work: Callable[[memoryview], object], buffer: memoryview, count_bytes: int) -> None:
        """Runs `work` on the first bytes of the buffer, after what was given before."""
        self._work.append((self._thread.submit(work, buffer[:count_bytes]), buffer))

    def give_back(self, buffer: memoryview) -> None:
        self._free.append(buffer)

    def finish(self) -> None:
        """Returns when all is done."""
        while self._work:
            self._finish_one()

    def drop(self) -> None:
        """As `finish`; what failed does not matter."""
        while self._work:
            with contextlib.suppress(OSError):
                self._finish_one()

    def close(self) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _finish_one(self) -> None:
        done, buffer = self._work.popleft()
        self._free.append(buffer)
        done.result()


def digest_file(descriptor: int, count_bytes: int, digest: "blake2b", say_busy: Callable[[], None]) -> int:
    """Adds the first bytes of the file; returns how many there were. Raises ReadError.

    `say_busy` is called every BUSY_S, and may raise what it likes.
    """
    done, said_s = 0, time.monotonic()
    for piece in read_ahead(descriptor, 0, count_bytes, digest):
        done += len(piece)
        if time.monotonic() - said_s > BUSY_S:
            said_s = time.monotonic()
            say_busy()
    return done


def read_ahead(descriptor: int, start: int, end: int, digest: "blake2b") -> Iterator[memoryview]:
    """The file's bytes from `start` to `end`, added to the digest; less, if it has become shorter.

    A piece is read and digested while the one before it is used. Raises ReadError.
    """

    def read(buffer: memoryview, offset: int) -> memoryview:
        try:
            piece = buffer[: os.preadv(descriptor, [buffer[: end - offset]], offset)]
        except OSError as error:
            raise ReadError(error.strerror) from error
        digest.update(piece)
        return piece

    buffers = [memoryview(bytearray(PIECE_BYTES)) for _ in range(2)]
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(read, buffers[0], start)
        while start < end and (piece := coming.result()):
            start += len(piece)
            buffers.reverse()
            coming = thread.submit(read, buffers[0], start)
            yield piece
