"""A sender and a receiver on the two ends of a socket, in threads."""

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from toxvpn.files.channel import Channel
from toxvpn.files.folder import open_folder
from toxvpn.files.incoming import Incoming, IntoFolder
from toxvpn.files.outgoing import Outgoing
from toxvpn.files.sources import find_sources, measure
from toxvpn.wire.filetransfer import FileOutcome

KEY = bytes(range(32))


@dataclass
class Seen:
    """What the person at either side sees."""

    lines: list[str] = field(default_factory=list)
    moved_bytes: list[int] = field(default_factory=list)
    on_moved: Callable[[int], None] = lambda done_bytes: None

    def begin(self, files: int, total_bytes: int) -> None:
        self.lines.append(f"{files} files, {total_bytes} bytes")

    def moved(self, name: str, done_bytes: int, size_bytes: int) -> None:
        self.moved_bytes.append(done_bytes)
        self.on_moved(done_bytes)

    def kept(self, name: bytes, size_bytes: int) -> None:
        self.lines.append(f"kept {name!r}")

    def had(self, name: bytes) -> None:
        self.lines.append(f"had {name!r}")

    def failed(self, name: str, reason: str) -> None:
        self.lines.append(f"{name}: {reason}")

    def ended(self, name: str, size_bytes: int, outcome: FileOutcome) -> None:
        self.lines.append(f"{name}: {outcome}")

    def left_out(self, path: str, reason: str) -> None:
        self.lines.append(f"{Path(path).name}: left out: {reason}")


class Receiver:
    """Receives from the other end of `theirs`, in a thread, until it ends or breaks."""

    def __init__(self, into: Path, umask: int = 0o022) -> None:
        self.theirs, ours = socket.socketpair()
        self.seen = Seen()
        self.failure: BaseException | None = None
        self._channel = Channel(ours)
        self._directory = open_folder(into)
        incoming = Incoming(self._channel, IntoFolder(self._directory, umask), KEY, self.seen)

        def run() -> None:
            try:
                incoming.run()
            except (OSError, EOFError, Exception) as failure:
                self.failure = failure
            finally:
                self._channel.close()

        self.thread = threading.Thread(target=run)
        self.thread.start()

    def wait(self) -> BaseException | None:
        self.thread.join(10)
        assert not self.thread.is_alive()
        return self.failure

    def close(self) -> None:
        self._channel.shut()
        self.theirs.close()
        self.thread.join(10)


def send(to: Receiver, *paths: Path, seen: Seen | None = None) -> Seen:
    """Sends them all; returns what the person saw. Raises what `Outgoing` raises."""
    seen = seen or Seen()
    channel = Channel(to.theirs)
    sources = find_sources([str(path) for path in paths])
    outgoing = Outgoing(channel, seen)
    try:
        outgoing.begin(*measure(sources))
        for source in sources:
            outgoing.send(source)
        outgoing.end()
    finally:
        channel.close()
    return seen
