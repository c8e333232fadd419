"""One large file by `toxvpn send`, and by scp over the VPN between the same two programs, by turns.

Two public hosts with `toxvpn up` on both. The file is of random bytes, in the page cache; at the far side it
is written to the same file system. Time is that of the command, from its start to its end; so it includes
the login of scp, and the digest that send computes.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from lab import Host, Lab, apps, wait_until

from .harness import OURS, TOXVPN, arguments, median, progress, ratio, spread, table
from .vpn_pair import VpnPair

CHUNK_BYTES = 1 << 20


class Transfers:
    """The ways from `near` to a folder of `far`."""

    def __init__(self, near: Host, far: Host, megabytes: int, folder: Path) -> None:
        self._near = near
        self._pair = VpnPair(near, far, OURS)
        inside = self._pair.start()
        self._sshd = apps.sshd(far)
        self._address = inside.far_ipv4
        self._into = folder / "into"
        self._into.mkdir()
        self._file = folder / "file"
        with self._file.open("wb") as file:
            for _ in range(megabytes):
                file.write(os.urandom(CHUNK_BYTES))
        self._homes = near.directory / "toxvpn-None", far.directory / "toxvpn-None"
        log = (far.directory / "receive.log").open("wb")
        self._receiver = far.popen(
            [TOXVPN, "receive", "-C", str(self._homes[1]), "--into", str(self._into)],
            env=OURS, stdout=subprocess.DEVNULL, stderr=log,
        )  # fmt: skip
        wait_until(lambda: b"receiving" in (far.directory / "receive.log").read_bytes(), "the receiver")

    def took_s(self, way: Callable[[], list[str]]) -> float:
        began_s = time.monotonic()
        self._near.run(way(), env=OURS, timeout_s=600)
        took_s = time.monotonic() - began_s
        (arrived,) = self._into.iterdir()
        assert arrived.stat().st_size == self._file.stat().st_size
        arrived.unlink()
        return took_s

    def send(self) -> list[str]:
        return [TOXVPN, "send", "-C", str(self._homes[0]), str(self._file), "other"]

    def scp(self) -> list[str]:
        _, *options = self._sshd.client()
        return ["scp", "-q", *options, str(self._file), f"root@{self._address}:{self._into}/"]


def main() -> None:
    given = arguments(__doc__, runs=3, megabytes=1000)
    folder = Path(tempfile.mkdtemp(prefix="bench-files-"))
    try:
        with Lab() as lab:
            transfers = Transfers(lab.host("near"), lab.host("far"), given.megabytes, folder)
            ways = {"toxvpn send": transfers.send, "scp over the VPN": transfers.scp}
            took_s: dict[str, list[float]] = {name: [] for name in ways}
            for _ in range(given.runs):
                for name, way in ways.items():
                    took_s[name].append(transfers.took_s(way))
                    progress(f"{name}: {took_s[name][-1]:.2f} s")
    finally:
        shutil.rmtree(folder)
    other = took_s["scp over the VPN"]
    table(
        f"A file of {given.megabytes} MB, median of {given.runs}",
        ["", "s", "MB/s", "of scp's time"],
        [
            [name, spread(values, ".2f"), f"{given.megabytes / median(values):.0f}", ratio(values, other)]
            for name, values in took_s.items()
        ],
    )


if __name__ == "__main__":
    main()
