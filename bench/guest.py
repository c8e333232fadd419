"""Hostile peers that are toxvpns themselves, and do more than anybody would of what toxvpn lets them do."""

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from lab import Host, wait_until

from .harness import GIVER_PORT, LOCALHOST, ONLINE_S, OURS, TOXVPN
from .pair import LISTEN_PORT

UNREAD = {"streams never read, fast road": "fast", "streams never read, tuntox road": "tuntox"}
FILE = "a file as fast as it goes"
ATTACKS = (*UNREAD, FILE)
STREAMS = 256
WANTED_BYTES = 100_000_000
BLOCK_BYTES, FILE_BLOCKS = 1 << 20, 1500


class Guest:
    """Came by the secret. Its forwards lead to the victim's giver (giver.py)."""

    def __init__(self, host: Host, nodes: Path, tox_id: str, secret: str) -> None:
        self._host = host
        self._directory = host.directory / "guest"
        self._directory.mkdir(mode=0o700)
        self._file = host.directory / "large"
        block = os.urandom(BLOCK_BYTES)
        with self._file.open("wb") as file:
            for _ in range(FILE_BLOCKS):
                file.write(block)
        self._env = {"TOXVPN_SHARED_SECRET": secret, **OURS}
        self._to = ["-b", str(nodes), "-C", str(self._directory)]
        self._tox_id = tox_id
        self._ports: dict[str, int] = {}
        for number, road in enumerate(UNREAD.values()):
            self._ports[road] = LISTEN_PORT + number
            forward = f"{LOCALHOST}:{LISTEN_PORT + number}:{LOCALHOST}:{GIVER_PORT}"
            directory = host.directory / road
            directory.mkdir(mode=0o700)
            argv = [TOXVPN, "-q", "-b", str(nodes), "-C", str(directory), "-i", tox_id, "--no-share"]
            self._host.popen([*argv, "--road", road, "-L", forward], env=self._env, stderr=subprocess.DEVNULL)

    def wait_connected(self) -> None:
        for port in self._ports.values():
            wait_until(partial(self._answers, port), "a guest's forward", ONLINE_S, 0.2)

    def attack(self, name: str, seconds: float, begun: Callable[[], None], folder: Path) -> int:
        """How many streams, or bytes of the file that arrived in `folder`; calls `begun` when it begins."""
        if name == FILE:
            return self._send(seconds, begun, folder)
        begun()
        with contextlib.ExitStack() as opened:
            for _ in range(STREAMS):
                stream = opened.enter_context(self._host.connect(LOCALHOST, self._ports[UNREAD[name]]))
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                stream.sendall(WANTED_BYTES.to_bytes(8))
            time.sleep(seconds)
        return STREAMS

    def _send(self, seconds: float, begun: Callable[[], None], folder: Path) -> int:
        argv = [TOXVPN, "send", *self._to, str(self._file), self._tox_id]
        sender = self._host.popen(argv, env=self._env, stderr=subprocess.DEVNULL)
        wait_until(lambda: size(folder) > 0, "the beginning of the file", ONLINE_S, 0.1)
        begun()
        before = size(folder)
        time.sleep(seconds)
        arrived = size(folder) - before
        self._host.stop(sender)
        return arrived

    def _answers(self, port: int) -> bool:
        with contextlib.suppress(OSError), self._host.connect(LOCALHOST, port) as stream:
            stream.settimeout(ONLINE_S)
            stream.sendall((1).to_bytes(8))
            return len(stream.recv(1)) == 1
        return False


def size(folder: Path) -> int:
    """Of all that is in it, bytes on disk."""
    return 512 * sum(each.stat().st_blocks for each in folder.rglob("*") if each.is_file())
