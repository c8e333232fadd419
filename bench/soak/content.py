"""The bytes of one direction of a stream, or of a file: from a seed, the same at both ends."""

from random import Random

PIECE_BYTES = 64 * 1024


class Content:
    """The same bytes for the same seed, in whatever portions they are taken."""

    def __init__(self, seed: object) -> None:
        self._random = Random(str(seed))
        self._rest = b""

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        while len(self._rest) < count:
            self._rest += self._random.randbytes(PIECE_BYTES)
        taken, self._rest = self._rest[:count], self._rest[count:]
        return taken
