"""The walk: findings are told at once, timed, and end with the first failure."""

import asyncio

import pytest

from toxvpn.doctor.layers import Stopped, Walk, until
from toxvpn.doctor.observations import Finding, Layer, PathSeen, State, TargetSeen
from toxvpn.errors import PeerRefusedError


async def seen(path: str) -> PathSeen:
    return PathSeen(path, 0.0)


async def raising() -> TargetSeen:
    raise PeerRefusedError("not you")


async def test_findings_are_told_as_they_are_made() -> None:
    told: list[Finding] = []
    walk = Walk(told.append)
    assert (await walk.look(Layer.PATH, seen("udp"))).path == "udp"
    assert walk.add(TargetSeen("a:1")).target == "a:1"
    assert told == walk.findings
    assert [finding.layer for finding in told] == [Layer.PATH, Layer.TARGET]
    assert all(finding.seconds is not None for finding in told)


async def test_a_failure_ends_the_walk_after_it_was_told() -> None:
    walk = Walk(lambda _: None)
    with pytest.raises(Stopped):
        await walk.look(Layer.PATH, seen("none"))
    assert [finding.state for finding in walk.findings] == [State.FAILED]


async def test_an_error_is_a_finding_with_its_text_and_code() -> None:
    walk = Walk(lambda _: None)
    with pytest.raises(Stopped):
        await walk.look(Layer.TARGET, raising())
    [finding] = walk.findings
    assert (finding.layer, finding.detail, finding.exit_code) == (Layer.TARGET, "not you", 4)


async def test_waiting_for_a_state() -> None:
    event = asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, event.set)
    assert await until(event.is_set, 10.0)
    assert not await until(lambda: False, 0.0)
