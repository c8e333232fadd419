"""The ends at targets that peers reach: a peer may lose the right to one while its bytes move.

In: ends, each with the question whether its peer may still reach it. Out: those that may not are stopped by
whoever moves their bytes, with a reset.
"""

from collections.abc import Callable

from .ends import End


class GrantedEnd:
    """An end at a target. Who moves its bytes says with `stoppable` how to stop."""

    def __init__(
        self, end: End, allowed: Callable[[], bool], on_close: Callable[["GrantedEnd"], None]
    ) -> None:
        self.read_fd, self.write_fd = end.read_fd, end.write_fd
        self.short_read_is_all = end.short_read_is_all
        self.allowed = allowed
        self._end = end
        self._on_close = on_close
        self._stop: Callable[[], None] | None = None
        self._stopped = False

    @property
    def wake_fd(self) -> int:
        return self._end.wake_fd

    def read_into(self, buffer: memoryview) -> int:
        return self._end.read_into(buffer)

    def finish(self) -> None:
        self._end.finish()

    def close(self, *, clean: bool) -> None:
        self._on_close(self)
        self._end.close(clean=clean)

    def stoppable(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        if self._stopped:
            stop()

    def stop(self) -> None:
        """Resets the stream, at once or as soon as one is made of it."""
        self._stopped = True
        if self._stop is not None:
            self._stop()


class Granted:
    """Those of one server that are open."""

    def __init__(self) -> None:
        self._ends: set[GrantedEnd] = set()

    def end(self, end: End, allowed: Callable[[], bool]) -> GrantedEnd:
        """Stopped from the start if the right was lost while the target was looked up and connected."""
        made = GrantedEnd(end, allowed, self._ends.discard)
        self._ends.add(made)
        if not allowed():
            made.stop()
        return made

    def judge_again(self) -> int:
        """Stops those that are not allowed any more; returns how many."""
        lost = [end for end in self._ends if not end.allowed()]
        for end in lost:
            end.stop()
        return len(lost)
