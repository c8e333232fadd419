"""A peer's request that is gone by the time its target answers; streams over the road are in test_road.py."""

from unittest.mock import AsyncMock, Mock

from toxvpn.tcpforward.budget import DESCRIPTORS
from toxvpn.tcpforward.tuntox.server import TuntoxServer
from toxvpn.wire.tuntox.events import OpenRequested


async def test_a_target_whose_caller_has_gone_is_closed() -> None:
    target = Mock()
    link = Mock(streams={}, requests={3: Mock()})
    link.tunnels.accept.return_value = False
    taken = DESCRIPTORS.taken
    await TuntoxServer(AsyncMock(return_value=target)).start(link, OpenRequested(3, "localhost", 22))
    target.close.assert_called_once_with(clean=True)
    link.add_stream.assert_not_called()
    assert (link.requests, DESCRIPTORS.taken) == ({}, taken)
