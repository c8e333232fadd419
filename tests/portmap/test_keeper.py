"""A mapping is asked for, renewed, made anew elsewhere, and taken back; on stepped time."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from toxvpn.portmap import keeper
from toxvpn.portmap.gateway import Gateway
from toxvpn.portmap.keeper import AGAIN_S, LEASE_S, LOOK_S, MappingKeeper
from toxvpn.portmap.protocol import Asked, GrantedPort, NoAnswerError, NotMappedError, PortMapping

HOME, CAFE = Gateway("192.168.1.1", "192.168.1.2"), Gateway("10.0.0.1", "10.0.0.7")
PUBLIC = GrantedPort("203.0.113.5", 40000, LEASE_S)
OUTER = ("203.0.113.5", 40000)


class Network:
    """Routers that grant, refuse or are silent. `at`: the gateway; `log`: what was asked of whom."""

    def __init__(self) -> None:
        self.at: Gateway | None = HOME
        self.answer: GrantedPort | type[Exception] = PUBLIC
        self.log: list[str] = []
        self.told: list[tuple[str, int] | None] = []

    def protocols(self, asked: Asked) -> Iterator[PortMapping]:
        yield FakeMapping(self, asked.gateway)


class FakeMapping:
    name = "PCP"

    def __init__(self, network: Network, gateway: Gateway) -> None:
        self._network = network
        self._gateway = gateway

    async def ask(self, lifetime_s: int) -> GrantedPort:
        self._network.log.append(f"ask {self._gateway.host}")
        if isinstance(self._network.answer, GrantedPort):
            return self._network.answer
        raise self._network.answer("no")

    async def release(self) -> None:
        self._network.log.append(f"release {self._gateway.host}")


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    network = Network()
    monkeypatch.setattr(keeper, "find", lambda mark: network.at)
    monkeypatch.setattr(keeper, "protocols", network.protocols)
    return network


class Time:
    """The loop's own time, which passes as told."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._now_s = self._loop.time()
        self._loop.time = lambda: self._now_s  # type: ignore[method-assign]

    async def pass_s(self, seconds: float) -> None:
        """In steps, so that each timer sees its own moment."""
        for _ in range(round(seconds / 0.5)):
            self._now_s += 0.5
            for _ in range(4):
                await asyncio.sleep(0)


@pytest.fixture
async def clock() -> Time:
    return Time()


@pytest.fixture
def keeping(network: Network, clock: Time) -> Callable[[], MappingKeeper]:
    def begin() -> MappingKeeper:
        made = MappingKeeper(4000, network.told.append, Counter())
        made.begin()
        made.begin()
        return made

    return begin


async def test_it_is_renewed_and_taken_back(
    network: Network, clock: Time, keeping: Callable[[], MappingKeeper]
) -> None:
    kept = keeping()
    assert network.log == [], "a short command asks nothing"
    await clock.pass_s(2)
    assert kept.state.outer == OUTER and network.told == [OUTER]
    await clock.pass_s(LEASE_S + 5)
    assert network.log == ["ask 192.168.1.1"] * 3, "after half of its lifetime each"
    assert network.told == [OUTER] * 3
    await kept.close()
    await kept.close()
    assert network.log[-1] == "release 192.168.1.1" and network.log.count("release 192.168.1.1") == 1


async def test_another_gateway_is_noticed(
    network: Network, clock: Time, keeping: Callable[[], MappingKeeper]
) -> None:
    kept = keeping()
    await clock.pass_s(2)
    network.at = CAFE
    await clock.pass_s(LOOK_S + 1)
    assert network.log == ["ask 192.168.1.1", "ask 10.0.0.1"]
    await kept.close()


async def test_after_a_sleep_it_asks_at_once(
    network: Network, clock: Time, keeping: Callable[[], MappingKeeper]
) -> None:
    kept = keeping()
    await clock.pass_s(2)
    kept.hurry()
    await clock.pass_s(1)
    assert network.log == ["ask 192.168.1.1"] * 2
    await kept.close()


@pytest.mark.parametrize("failure", [NoAnswerError, NotMappedError, OSError])
async def test_who_refuses_is_asked_again_ever_later(
    network: Network, clock: Time, keeping: Callable[[], MappingKeeper], failure: type[Exception]
) -> None:
    network.answer = failure
    kept = keeping()
    await clock.pass_s(2)
    assert kept.state.problem and network.told == [None]
    await clock.pass_s(AGAIN_S + 1)
    assert len(network.log) == 2
    await clock.pass_s(AGAIN_S + 1)
    assert len(network.log) == 2
    network.answer = PUBLIC
    await clock.pass_s(AGAIN_S + 1)
    assert kept.state.outer == OUTER
    await kept.close()


async def test_a_mapping_that_is_not_renewed_is_made_anew_or_lost(
    network: Network, clock: Time, keeping: Callable[[], MappingKeeper]
) -> None:
    kept = keeping()
    await clock.pass_s(2)
    network.answer = NoAnswerError
    await clock.pass_s(LEASE_S / 2 + 5)
    assert kept.state.outer is None and network.told[-1] is None
    await kept.close()
    assert "release 192.168.1.1" not in network.log


@pytest.mark.parametrize("host", ["100.64.3.3", "192.168.0.2", "127.0.0.1", "0.0.0.0", "239.1.1.1"])
async def test_an_address_that_is_not_public_is_of_no_use(
    network: Network, clock: Time, keeping: Callable[[], MappingKeeper], host: str
) -> None:
    network.answer = GrantedPort(host, 40000, LEASE_S)
    kept = keeping()
    await clock.pass_s(2)
    assert kept.state.outer is None and host in (kept.state.problem or "")
    assert network.log == ["ask 192.168.1.1", "release 192.168.1.1"]
    await kept.close()


@pytest.mark.parametrize("lifetime_s", [0, 1, 2**32 - 1])
async def test_a_lifetime_is_believed_within_bounds(
    network: Network, clock: Time, keeping: Callable[[], MappingKeeper], lifetime_s: int
) -> None:
    network.answer = GrantedPort("203.0.113.5", 40000, lifetime_s)
    kept = keeping()
    await clock.pass_s(601)
    assert 2 <= len(network.log) <= 21
    await kept.close()


@pytest.mark.parametrize("at", [None, Gateway("203.0.113.254", "203.0.113.9")])
async def test_nobody_is_asked_without_need(
    network: Network, clock: Time, keeping: Callable[[], MappingKeeper], at: Gateway | None
) -> None:
    network.at = at
    kept = keeping()
    await clock.pass_s(100)
    assert network.log == [] and kept.state.problem
    network.at = HOME
    await clock.pass_s(LOOK_S + 1)
    assert kept.state.outer == OUTER
    await kept.close()


async def test_an_end_before_the_first_request(
    network: Network, keeping: Callable[[], MappingKeeper]
) -> None:
    await keeping().close()
    await MappingKeeper(4000, network.told.append, Counter()).close()
    assert network.log == []
