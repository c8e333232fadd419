"""Files from a machine to another by a drop: real programs of a user without root, on a Tox network."""

import random
import re
import shutil
from pathlib import Path

from forwards import USER, Running, private_directory

from lab import Lab, wait_until

BIG = random.Random(3).randbytes(8_000_000)
RATE_MBIT = 30.0
TEXT = r"toxvpn-[a-z2-7]{96}"


def owned(path: Path) -> Path:
    shutil.chown(path, USER)
    return path


def test_a_drop_survives_the_end_of_its_receiver(tox_network: Lab) -> None:
    lab = tox_network
    here, there = lab.host("sender"), lab.host("receiver")
    home, into, sent = (private_directory(there, name) for name in ("home", "into", "sent"))
    sent.joinpath("big").write_bytes(BIG)
    sent.joinpath("folder").mkdir()
    sent.joinpath("folder", "a").write_text("a")
    for path in (sent / "big", sent / "folder", sent / "folder/a"):
        owned(path)
    here.rate(RATE_MBIT)

    def receive(name: str) -> Running:
        return Running(lab, there, name, "-C", str(home), "receive", "--into", str(into), env={})

    first = receive("first")
    text = first.wait_for(TEXT)[0]
    sender = Running(
        lab, here, "send", "-C", str(private_directory(here, "home")), "send",
        str(sent / "big"), str(sent / "folder"), text, env={},
    )  # fmt: skip

    def received_bytes() -> int:
        return sum(path.stat().st_size for path in into.glob(".big.*.part"))

    wait_until(lambda: received_bytes() > len(BIG) // 4, "a quarter of the file", 60.0)
    first.kill()
    kept_bytes = received_bytes()
    assert 0 < kept_bytes < len(BIG)
    second = receive("second")
    assert second.wait_for(TEXT)[0] == text
    assert sender.process.wait(60) == 0, sender.log_text()
    assert second.process.wait(20) == 0, second.log_text()
    assert second.process.stdout is not None
    assert second.process.stdout.read().decode() == f"{into}/big\n{into}/folder\n"
    assert into.joinpath("big").read_bytes() == BIG
    assert into.joinpath("folder/a").read_text() == "a"
    assert sorted(path.name for path in into.iterdir()) == ["big", "folder"]
    moved = re.search(r"sent big: ([\d.]+) MB", sender.log_text())
    assert moved and float(moved[1]) * 1e6 <= len(BIG) - kept_bytes + 1e6, "it went on where it was"
    assert [*home.glob("drops/*"), *(here.directory / "home").glob("drops/*")] == [], "nothing is left"
    assert into.joinpath("big").stat().st_uid == home.stat().st_uid
