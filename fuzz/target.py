"""A target is a function of one input, whose bytes a fuzzer chooses; an exception is a finding.

It is registered by `@target`, and its name is the function's. Neighbour: targets/.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

Target = Callable[[bytes], None]

TARGETS: dict[str, Target] = {}


def target(function: Target) -> Target:
    """Registers the function."""
    if function.__name__ in TARGETS:
        raise ValueError(f"there are two targets {function.__name__}")
    TARGETS[function.__name__] = function
    return function


class Choices:
    """Reads choices off an input, from its beginning; an input that has ended gives zeros and nothing."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        """Bytes that were not read yet."""
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        """At most so many bytes."""
        taken = self._data[self._at : self._at + count]
        self._at += len(taken)
        return taken

    def number(self, size_bytes: int = 1) -> int:
        return int.from_bytes(self.take(size_bytes).ljust(size_bytes, b"\0"), "big")

    def below(self, limit: int) -> int:
        """A number from 0 to `limit` - 1."""
        return self.number(1 if limit <= 256 else 2 if limit <= 65536 else 4) % limit

    def flag(self) -> bool:
        return bool(self.number() & 1)

    def pick(self, several: Sequence[T]) -> T:
        return several[self.below(len(several))]

    def chunk(self, most: int = 65535) -> bytes:
        """Bytes after a length of two bytes, and at most that many."""
        return self.take(min(self.number(2), most))

    def rest(self) -> bytes:
        return self.take(self.left)


def pieces(data: bytes, choices: Choices) -> list[bytes]:
    """The data cut in two or three, as a stream may bring it."""
    first = choices.below(len(data) + 1)
    second = first + choices.below(len(data) - first + 1)
    return [data[:first], data[first:second], data[second:]]
