"""Blocked senders are tried again after a step of the node's clock; node and senders are fakes."""

from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock, call

import pytest

from toxvpn.tcpforward.tuntox.retries import SendRetries
from toxvpn.tox.node import Node

HOUR_S = 3600.0


class FakeSender:
    """One that wants steps of `step_s`; `retry` does what a test says."""

    def __init__(self, step_s: float) -> None:
        self.steps: Any = SimpleNamespace(step_s=step_s, begin=Mock())
        self.retry = Mock()

    def now(self) -> float:
        return 5.0


class Scene:
    def __init__(self) -> None:
        self.node = Mock(closed=False)
        self.retries = SendRetries(cast(Node, self.node))

    def block(self, step_s: float) -> FakeSender:
        sender = FakeSender(step_s)
        self.retries.set_blocked(sender, True)
        return sender

    @property
    def steps(self) -> list[Any]:
        return cast(list[Any], self.node.turns.step_clock.call_args_list)


@pytest.fixture
async def scene() -> Scene:
    return Scene()


async def test_a_step_is_the_longest_that_anybody_wants(scene: Scene) -> None:
    long, _ = scene.block(HOUR_S), scene.block(1.0)
    assert scene.steps == [call(HOUR_S), call(HOUR_S)]
    long.steps.begin.assert_called_once_with(5.0)
    scene.retries.set_blocked(long, True)
    assert long.steps.begin.call_count == 1, "it is blocked already"
    scene.retries.close()


async def test_a_turn_comes_first_and_then_all_are_tried(scene: Scene) -> None:
    order: list[str] = []
    first, second = scene.block(HOUR_S), scene.block(HOUR_S)
    scene.node.turns.turn.side_effect = lambda: order.append("turn")

    def succeed() -> None:
        order.append("retry")
        scene.retries.set_blocked(first, False)

    first.retry.side_effect = succeed
    second.retry.side_effect = RuntimeError("a bug")
    scene.retries._retry()
    assert order == ["turn", "retry"] and second.retry.called
    assert (scene.retries.is_blocked(first), scene.retries.is_blocked(second)) == (False, True)
    assert len(scene.steps) == 3, "another step, for the one that is left"
    scene.retries.close()


async def test_nobody_is_tried_after_the_end(scene: Scene) -> None:
    sender = scene.block(HOUR_S)
    scene.retries.close()
    timer = scene.retries._timer
    assert timer is not None and timer.cancelled()
    scene.node.closed = True
    scene.retries._retry()
    assert not sender.retry.called
