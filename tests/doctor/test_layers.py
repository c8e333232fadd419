"""The layers: findings are reported at once, timed, and end with the first failure."""

import asyncio

import pytest

from toxvpn.doctor.findings import Finding, Layer, State
from toxvpn.doctor.layers import LayerFailed, Layers, wait_until
from toxvpn.doctor.peer_observations import PathSeen, TargetSeen
from toxvpn.errors import PeerRefusedError


async def seen(path: str) -> PathSeen:
    return PathSeen(path, 0.0)


async def raising() -> TargetSeen:
    raise PeerRefusedError("not you")


async def test_findings_are_told_as_they_are_made() -> None:
    reported: list[Finding] = []
    layers = Layers(reported.append)
    assert (await layers.check(Layer.PATH, seen("udp"))).path == "udp"
    assert layers.add(TargetSeen("a:1")).target == "a:1"
    assert reported == layers.findings
    assert [finding.layer for finding in reported] == [Layer.PATH, Layer.TARGET]
    assert all(finding.seconds is not None for finding in reported)


async def test_a_failure_ends_the_layers_after_it_was_told() -> None:
    layers = Layers(lambda _: None)
    with pytest.raises(LayerFailed):
        await layers.check(Layer.PATH, seen("none"))
    assert [finding.state for finding in layers.findings] == [State.FAILED]


async def test_an_error_is_a_finding_with_its_text_and_code() -> None:
    layers = Layers(lambda _: None)
    with pytest.raises(LayerFailed):
        await layers.check(Layer.TARGET, raising())
    [finding] = layers.findings
    assert (finding.layer, finding.detail, finding.exit_code) == (Layer.TARGET, "not you", 4)


async def test_waiting_for_a_state() -> None:
    event = asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, event.set)
    assert await wait_until(event.is_set, 10.0)
    assert not await wait_until(lambda: False, 0.0)
