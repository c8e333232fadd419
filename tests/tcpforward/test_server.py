"""The serving side: the rules are asked, and what they allow is connected."""

import pytest

from toxvpn.tcpforward.rules import Rules, parse_rules
from toxvpn.tcpforward.server import ForwardServer
from toxvpn.tcpforward.target import TargetRefusedError
from toxvpn.testing.forward_pair import TargetProgram
from toxvpn.tox.peer import Peer
from toxvpn.wire.socks5 import ReplyCode

PEER = Peer(0, bytes(32))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_an_allowed_target_is_connected_and_armed(no_descriptor_is_left: None, host: str) -> None:
    target = TargetProgram(host)
    end = await ForwardServer(lambda _: Rules()).serve(PEER, host, target.port)
    program = await target.accept()
    end.close(clean=False)
    assert await program.is_reset()
    program.close()
    target.close()


async def test_what_no_rule_allows_is_refused(no_descriptor_is_left: None) -> None:
    with pytest.raises(TargetRefusedError) as refused:
        await ForwardServer(lambda _: parse_rules("localhost:22", "rule")).serve(PEER, "127.0.0.1", 1)
    assert refused.value.code is ReplyCode.NOT_ALLOWED
    assert "127.0.0.1:1" in str(refused.value)


async def test_who_may_reach_nothing_is_told_of_in_the_words_that_change_it() -> None:
    with pytest.raises(TargetRefusedError, match="--may forwards") as refused:
        await ForwardServer(lambda _: Rules(())).serve(PEER, "127.0.0.1", 1)
    assert refused.value.code is ReplyCode.NOT_ALLOWED
