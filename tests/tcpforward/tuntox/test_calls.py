"""Our calls to a peer whose answer comes too late, twice, or never; the tunnels are fakes."""

import asyncio
from unittest.mock import Mock

import pytest

from toxvpn.errors import PeerOfflineError
from toxvpn.tcpforward.road import StreamOpenError
from toxvpn.tcpforward.tuntox.calls import Calls
from toxvpn.wire.socks5 import ReplyCode
from toxvpn.wire.tuntox.events import OpenFailed

HANDLE = 7
NOW = 3.0


class Scene:
    """Calls that are about to open a stream."""

    def __init__(self) -> None:
        self.driver = Mock(now=lambda: NOW)
        self.driver.tunnels.open.return_value = HANDLE
        self.stream = Mock()
        self.calls = Calls(self.driver, lambda handle: self.stream)

    async def opening(self) -> "asyncio.Task[object]":
        task: asyncio.Task[object] = asyncio.create_task(self.calls.open("localhost", 22))
        await asyncio.sleep(0)
        return task


@pytest.fixture
async def scene() -> Scene:
    return Scene()


async def test_who_gives_up_as_the_stream_opens_leaves_none_open(scene: Scene) -> None:
    task = await scene.opening()
    scene.calls.on_opened(HANDLE)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    scene.stream.abort.assert_called_once_with()
    assert not scene.calls.waiting


async def test_who_gives_up_before_takes_the_request_back_and_a_late_answer_is_reset(scene: Scene) -> None:
    task = await scene.opening()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    scene.driver.tunnels.reset.assert_called_once_with(HANDLE, NOW)
    assert scene.driver.send_soon.call_count == 2 and not scene.calls.waiting
    scene.calls.on_opened(HANDLE)
    assert scene.driver.tunnels.reset.call_count == 2 and not scene.stream.method_calls


@pytest.mark.parametrize(("text", "told"), [("too long a name", "too long a name"), ("", "general failure")])
async def test_a_failure_has_its_code_and_reason(scene: Scene, text: str, told: str) -> None:
    task = await scene.opening()
    scene.calls.on_open_failed(OpenFailed(HANDLE, ReplyCode.GENERAL_FAILURE, text))
    with pytest.raises(StreamOpenError, match=told) as failed:
        await task
    assert failed.value.code is ReplyCode.GENERAL_FAILURE


async def test_nobody_pings_a_peer_that_is_away(scene: Scene) -> None:
    scene.driver.tunnels.online = False
    with pytest.raises(PeerOfflineError):
        await scene.calls.ping()
    scene.driver.tunnels.ping.assert_not_called()
