"""The serving side: the rules are asked, and what they allow is connected."""

import asyncio
import socket

import pytest

from toxvpn.tcpforward import server
from toxvpn.tcpforward.builtin import Builtin, Builtins
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


async def test_a_target_that_has_reset_already_is_no_error(
    no_descriptor_is_left: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stream will meet the reset."""

    async def gone_at_once(*_: object) -> socket.socket:
        return socket.socket()

    monkeypatch.setattr(server, "connect_target", gone_at_once)
    made = ForwardServer(lambda _: Rules())
    end = await made.serve(PEER, "localhost", 1)
    made.judge_again()
    end.close(clean=False)


async def test_what_no_rule_allows_is_refused(no_descriptor_is_left: None) -> None:
    with pytest.raises(TargetRefusedError) as refused:
        await ForwardServer(lambda _: parse_rules("localhost:22", "rule")).serve(PEER, "127.0.0.1", 1)
    assert refused.value.code is ReplyCode.NOT_ALLOWED
    assert "127.0.0.1:1" in str(refused.value)


async def test_who_may_reach_nothing_is_told_of_in_the_words_that_change_it() -> None:
    with pytest.raises(TargetRefusedError, match="--may forwards") as refused:
        await ForwardServer(lambda _: Rules(())).serve(PEER, "127.0.0.1", 1)
    assert refused.value.code is ReplyCode.NOT_ALLOWED


async def test_a_built_in_target_is_judged_by_its_own_rule_also_when_it_is_offered_no_more(
    no_descriptor_is_left: None,
) -> None:
    allowed = {PEER.public_key}
    ended = asyncio.Event()

    async def carry(_: Peer, sock: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().sock_recv(sock, 1)
        finally:
            ended.set()

    builtins = Builtins()
    made = ForwardServer(lambda _: Rules(()), builtins)
    withdraw = builtins.offer("@here", Builtin(1, allowed.__contains__, "no", carry))
    end = await made.serve(PEER, "@here", 1)
    await asyncio.sleep(0)
    withdraw()
    made.judge_again()
    await asyncio.sleep(0)
    assert not ended.is_set()
    allowed.clear()
    made.judge_again()
    await ended.wait()
    end.close(clean=False)
    await builtins.close()
