"""Moves are told from other changes of the network, in namespaces with real interfaces."""

import asyncio
import subprocess
from collections.abc import Awaitable, Callable

import pytest

from toxvpn.testing.netns import become_somebody, enter_new_netns, have_namespaces, in_child
from toxvpn.tox.reach import sources
from toxvpn.tox.reach.sources import SourceWatch, source_of

pytestmark = pytest.mark.skipif(not have_namespaces(), reason="needs root, for network namespaces")

LOOK_S = sources.SETTLE_S + 0.1
ELSEWHERE = "198.51.100.7"


def ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True)


def interface(name: str) -> None:
    """One that is up, and has a carrier."""
    ip(f"link add {name} type veth peer name {name}-far")
    for end in (name, f"{name}-far"):
        ip(f"link set {end} up")


def home() -> None:
    """A namespace with one interface, an address and a default route."""
    enter_new_netns()
    interface("wlan")
    ip("addr add 192.168.7.2/24 dev wlan")
    ip("route add default via 192.168.7.1 metric 100")


async def moves_during(change: Callable[[], Awaitable[None]], *places: str) -> int:
    count = 0

    def on_move() -> None:
        nonlocal count
        count += 1

    watch = SourceWatch(lambda: places, on_move)
    await change()
    await asyncio.sleep(LOOK_S)
    watch.close()
    watch.close()
    return count


def moves(change: Callable[[], Awaitable[None]], *places: str) -> int:
    return in_child(home, lambda: asyncio.run(moves_during(change, *places)))


def test_the_source_of_a_packet() -> None:
    def look() -> tuple[str | None, str | None]:
        return source_of(ELSEWHERE), source_of("2001:db8::1")

    assert in_child(home, look) == ("192.168.7.2", None)


async def other_address() -> None:
    ip("addr flush dev wlan")
    ip("addr add 192.168.7.3/24 dev wlan")
    ip("route add default via 192.168.7.1")


async def other_network() -> None:
    interface("wwan")
    ip("addr add 10.9.8.7/32 dev wwan")
    ip("route add default dev wwan metric 1")


async def only_to_a_peer() -> None:
    ip("addr add 192.168.7.9/24 dev wlan")
    ip(f"route add {ELSEWHERE} via 192.168.7.1 src 192.168.7.9")


async def another_interface() -> None:
    interface("docker0")
    ip("addr add 172.17.0.1/16 dev docker0")


async def offline() -> None:
    ip("link set wlan down")


async def offline_and_back() -> None:
    ip("link set wlan down")
    await asyncio.sleep(LOOK_S + sources.PAUSE_S)
    ip("link set wlan up")
    ip("route add default via 192.168.7.1")


@pytest.mark.parametrize("change", [other_address, other_network, offline_and_back])
def test_a_move_is_noticed_once(change: Callable[[], Awaitable[None]]) -> None:
    assert moves(change) == 1


def test_a_move_that_concerns_one_peer_alone_is_one_too() -> None:
    assert moves(only_to_a_peer, ELSEWHERE) == 1
    assert moves(only_to_a_peer) == 0


@pytest.mark.parametrize("change", [another_interface, offline])
def test_other_changes_are_no_moves(change: Callable[[], Awaitable[None]]) -> None:
    assert moves(change) == 0


def test_an_ordinary_user_notices_too() -> None:
    """Its netlink socket is told of changes that root makes."""

    command = (
        "read go; ip addr add 192.168.7.4/24 dev wlan;"
        "ip route replace default via 192.168.7.1 src 192.168.7.4"
    )

    async def unprivileged() -> int:
        pipe = asyncio.subprocess.PIPE
        root = await asyncio.create_subprocess_exec("sh", "-c", command, stdin=pipe)
        become_somebody()

        async def change() -> None:
            await root.communicate(b"go\n")

        return await moves_during(change)

    assert in_child(home, lambda: asyncio.run(unprivileged())) == 1


def test_a_router_whose_routes_never_rest_costs_little(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    look = SourceWatch._look

    def counted(self: SourceWatch) -> dict[str, str | None]:
        nonlocal looks
        looks += 1
        return look(self)

    monkeypatch.setattr(SourceWatch, "_look", counted)

    async def many_routes() -> None:
        lines = "".join(f"route add 10.{n >> 8}.{n & 255}.0/24 via 192.168.7.1\n" for n in range(2000))
        for _ in range(3):
            batch = await asyncio.create_subprocess_exec("ip", "-batch", "-", stdin=asyncio.subprocess.PIPE)
            await batch.communicate(lines.replace("add", "replace").encode())

    def run() -> tuple[int, int]:
        return asyncio.run(moves_during(many_routes)), looks

    assert in_child(home, run) in [(0, n) for n in range(1, 6)]
