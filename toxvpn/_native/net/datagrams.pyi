from typing import Any

from typing_extensions import disjoint_base

@disjoint_base
class Gatherer:
    """Owns the buffer, `view`, in which the batches of the last `read` are."""

    view: memoryview
    def read(
        self, fd: int
    ) -> tuple[list[tuple[int, int, int, tuple[Any, ...], tuple[tuple[int, int, bytes], ...]]], int]:
        """Batches, and the errno of the read that ended it: EAGAIN when nothing is left, 0 if more may be.

        A batch is (start, bytes, bytes of each datagram but the last, source, control data for an answer).
        """
