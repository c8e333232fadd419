import asyncio
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from toxvpn.testing.fake_nodes import until
from toxvpn.testing.netns import have_namespaces, in_new_netns
from toxvpn.tun.heal import monitor as module
from toxvpn.tun.heal.monitor import NetworkMonitor

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not have_namespaces(), reason="needs root and network namespaces"),
]


class Calls:
    """Counts the calls; `fails` makes the next one raise, `again_s` is what each returns."""

    def __init__(self) -> None:
        self.count = 0
        self.fails = False
        self.again_s: float | None = None

    async def on_change(self) -> float | None:
        self.count += 1
        if self.fails:
            self.fails = False
            raise ValueError("a bug")
        return self.again_s


def ip(line: str) -> None:
    subprocess.run(line.split(), check=True)


def watched(
    scene: Callable[[Calls], Awaitable[None]], files: list[Path] | None = None, before: tuple[str, ...] = ()
) -> None:
    async def play() -> None:
        for line in before:
            ip(line)
        calls = Calls()
        monitor = NetworkMonitor(calls.on_change, files or [])
        await until(lambda: calls.count == 1)
        await scene(calls)
        monitor.close()

    in_new_netns(lambda: asyncio.run(play()))


@pytest.mark.parametrize(
    "change",
    [
        "ip link set lo up",
        "ip addr add 10.1.2.3/24 dev lo",
        "ip -6 addr add fd00::1/64 dev lo",
        "ip route add 10.9.0.0/16 dev lo",
        "ip -6 route add fd00:1::/64 dev lo",
        "ip route flush table main",
        "ip rule add from 10.9.0.0/16 table 77",
        "ip -6 rule add from fd00:1::/64 table 77",
        "sysctl -qw net.ipv4.conf.lo.forwarding=1",
        "sysctl -qw net.ipv6.conf.lo.forwarding=1",
        "nft add table inet toxvpn_forward",
    ],
)
def test_each_kind_of_change_is_noticed(change: str) -> None:
    async def scene(calls: Calls) -> None:
        before = calls.count
        ip(change)
        await until(lambda: calls.count > before)

    there = ("ip link set lo up", "ip route add 10.8.0.0/16 dev lo", *STILL)
    watched(scene, before=() if change in there else there)


STILL = tuple(f"sysctl -qw net.ipv{version}.conf.lo.forwarding=0" for version in (4, 6))
"""A new namespace takes it over from the machine's."""


def test_others_nftables_tables_wake_nobody_and_all_is_heard() -> None:
    heard: list[bytes] = []

    async def scene() -> int:
        calls = Calls()
        monitor = NetworkMonitor(calls.on_change, on_datagram=heard.append)
        await until(lambda: calls.count == 1)
        ip("nft add table inet docker")
        await until(lambda: any(b"docker" in datagram for datagram in heard))
        ip("nft add table inet toxvpn_x")
        await until(lambda: calls.count > 1)
        monitor.close()
        return calls.count

    assert in_new_netns(lambda: asyncio.run(scene())) == 2


def test_it_outlives_a_look_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(calls: Calls) -> None:
        calls.fails = True
        for state in ("up", "down"):
            before = calls.count
            ip(f"ip link set lo {state}")
            await until(lambda before=before: calls.count > before)  # type: ignore[misc]
        assert not calls.fails

    watched(scene)


def test_what_could_not_be_looked_at_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the kernel is silent."""
    monkeypatch.setattr(module, "RETRY_S", 0.1)

    async def scene(calls: Calls) -> None:
        calls.fails = True
        ip("ip link set lo up")
        await until(lambda: not calls.fails)
        failed = calls.count
        await until(lambda: calls.count > failed)

    watched(scene)


def test_files_are_looked_at_too(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"

    async def scene(calls: Calls) -> None:
        path.write_text("nameserver 10.0.0.53")
        await until(lambda: calls.count > 1)

    watched(scene, [path])


def test_it_calls_again_when_it_was_told_to() -> None:
    async def scene(calls: Calls) -> None:
        calls.again_s = 0.01
        ip("ip link set lo up")
        await until(lambda: calls.count > 5)

    watched(scene)
