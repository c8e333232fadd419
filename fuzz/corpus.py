"""The inputs that are kept: corpus/NAME.txt has one input a line, in hexadecimal digits, the shortest first.

A fuzzer wants a folder with a file for each: `unpack` makes one, `pack` keeps what is in one.
"""

from hashlib import sha1
from pathlib import Path

HERE = Path(__file__).with_name("corpus")
MOST_BYTES = 8 * 1024
"""Of all inputs of a target: what a run finds beyond that stays where it was run."""


def load(name: str) -> list[bytes]:
    """The kept inputs of a target; none if it has none yet."""
    path = HERE / f"{name}.txt"
    return [bytes.fromhex(line) for line in path.read_text().splitlines()] if path.exists() else []


def unpack(name: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for data in load(name):
        folder.joinpath(sha1(data, usedforsecurity=False).hexdigest()).write_bytes(data)


def pack(name: str, folder: Path) -> int:
    """Keeps the inputs in the folder, the shortest where there are too many. Returns how many."""
    kept: list[bytes] = []
    size_bytes = 0
    for data in sorted({path.read_bytes() for path in folder.iterdir()}, key=lambda each: (len(each), each)):
        size_bytes += len(data)
        if size_bytes > MOST_BYTES:
            break
        kept.append(data)
    HERE.joinpath(f"{name}.txt").write_text("".join(f"{data.hex()}\n" for data in kept))
    return len(kept)
