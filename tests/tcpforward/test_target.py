import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from toxvpn.tcpforward import target
from toxvpn.tcpforward.rules import EVERYTHING, parse_rules
from toxvpn.tcpforward.target import TargetRefusedError, connect_target
from toxvpn.wire.socks5 import ReplyCode

V4, V6 = socket.AF_INET, socket.AF_INET6


pytestmark = pytest.mark.usefixtures("no_descriptor_is_left")


@pytest.fixture
def listener(no_descriptor_is_left: None) -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def port_of(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])


def resolver(monkeypatch: pytest.MonkeyPatch, names: dict[str, list[str]]) -> list[str]:
    """Names resolve as in the table, and nothing else; the list fills with the names asked for."""
    real, asked = socket.getaddrinfo, []

    def fake(host: str, port: int, *, type: int, flags: int = 0) -> Any:
        if flags & socket.AI_NUMERICHOST:
            return real(host, port, type=type, flags=flags)
        asked.append(host)
        if host not in names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [info for address in names[host] for info in real(address, port, type=type)]

    monkeypatch.setattr(socket, "getaddrinfo", fake)
    return asked


def connector(monkeypatch: pytest.MonkeyPatch, table: dict[str, int | None]) -> list[str]:
    """Addresses fail with an errno, hang for ever (None), or connect really if not in the table."""
    tried: list[str] = []
    real: Callable[..., Awaitable[None]] = asyncio.get_running_loop().sock_connect

    async def sock_connect(sock: socket.socket, address: Any) -> None:
        tried.append(address[0])
        if address[0] not in table:
            return await real(sock, address)
        failure = table[address[0]]
        if failure is None:
            await asyncio.get_running_loop().create_future()
        raise OSError(failure, "made up")

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", sock_connect)
    return tried


async def refusal(host: str, port: int, rules: str | None = None, timeout_s: float = 5) -> TargetRefusedError:
    with pytest.raises(TargetRefusedError) as error:
        await connect_target(
            host, port, EVERYTHING if rules is None else parse_rules(rules, "r"), timeout_s=timeout_s
        )
    assert len(str(error.value).splitlines()) == 1
    return error.value


async def test_an_address_is_connected(listener: socket.socket) -> None:
    with await connect_target("127.0.0.1", port_of(listener), EVERYTHING) as sock:
        assert sock.getpeername() == listener.getsockname()
        assert not sock.getblocking()
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


async def test_a_name_is_connected_by_its_second_address(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolver(monkeypatch, {"both": ["::1", "127.0.0.1"]})
    with await connect_target("both", port_of(listener), EVERYTHING) as sock:
        assert sock.family == V4


async def test_an_address_that_hangs_does_not_hold_up_the_next(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolver(monkeypatch, {"both": ["192.0.2.1", "127.0.0.1"]})
    tried = connector(monkeypatch, {"192.0.2.1": None})
    with await connect_target("both", port_of(listener), EVERYTHING) as sock:
        assert sock.getpeername() == listener.getsockname()
    assert tried == ["192.0.2.1", "127.0.0.1"]


async def test_families_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver(monkeypatch, {"many": ["::1", "::2", "127.0.0.1", "127.0.0.2", "::1"]})
    tried = connector(
        monkeypatch, dict.fromkeys(["::1", "::2", "127.0.0.1", "127.0.0.2"], errno.ECONNREFUSED)
    )
    await refusal("many", 1)
    assert tried == ["::1", "127.0.0.1", "::2", "127.0.0.2"]


async def test_a_closed_port_is_refused(listener: socket.socket) -> None:
    port = port_of(listener)
    listener.close()
    assert (await refusal("127.0.0.1", port)).code == ReplyCode.CONNECTION_REFUSED


@pytest.mark.parametrize(
    ("number", "code"), [*target.CODES.items(), (errno.EMFILE, ReplyCode.GENERAL_FAILURE)]
)
async def test_each_errno_has_its_code(number: int, code: ReplyCode, monkeypatch: pytest.MonkeyPatch) -> None:
    connector(monkeypatch, {"127.0.0.1": number})
    refused = await refusal("127.0.0.1", 1)
    assert refused.code == code
    assert os.strerror(number) in str(refused)


async def test_the_most_telling_of_several_reasons_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver(monkeypatch, {"many": ["::1", "127.0.0.1", "::2"]})
    connector(
        monkeypatch, {"::1": errno.ENETUNREACH, "127.0.0.1": errno.ECONNREFUSED, "::2": errno.ENETUNREACH}
    )
    assert (await refusal("many", 1)).code == ReplyCode.CONNECTION_REFUSED


async def test_no_answer_at_all_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    connector(monkeypatch, {"192.0.2.1": None})
    assert (await refusal("192.0.2.1", 1, timeout_s=0.01)).code == ReplyCode.TIMED_OUT


@pytest.mark.parametrize(
    "host", ["nowhere", "", "a b", "a\0b", "x" * 256, "x" * 64, ".", "a..b", "\udcff", "fe80::1%nolink"]
)
async def test_what_is_no_host_is_unreachable(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    resolver(monkeypatch, {})
    assert (await refusal(host, 1)).code == ReplyCode.HOST_UNREACHABLE


async def test_rules_are_asked_for_every_address(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = port_of(listener)
    resolver(monkeypatch, {"both": ["127.0.0.2", "127.0.0.1"], "evil": ["127.0.0.2"]})
    tried = connector(monkeypatch, {})
    rules = f"127.0.0.1:{port}"
    (await connect_target("both", port, parse_rules(rules, "r"))).close()
    assert tried == ["127.0.0.1"]
    assert (await refusal("evil", port, rules)).code == ReplyCode.NOT_ALLOWED
    assert (await refusal("127.0.0.2", port, rules)).code == ReplyCode.NOT_ALLOWED
    assert (await refusal("both", port + 1, rules)).code == ReplyCode.NOT_ALLOWED
    assert tried == ["127.0.0.1"]


async def test_a_rule_for_a_name_allows_that_name_alone(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = port_of(listener)
    asked = resolver(monkeypatch, {"good": ["127.0.0.1"], "alias": ["127.0.0.1"]})
    rules = f"good:{port}"
    (await connect_target("good", port, parse_rules(rules, "r"))).close()
    assert (await refusal("alias", port, rules)).code == ReplyCode.NOT_ALLOWED
    assert (await refusal("127.0.0.1", port, rules)).code == ReplyCode.NOT_ALLOWED
    assert asked == ["good"]


async def test_whether_a_forbidden_name_exists_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver(monkeypatch, {})
    assert (await refusal("nowhere", 22, "127.0.0.1:22")).code == ReplyCode.NOT_ALLOWED


async def test_whether_anybody_answers_for_a_forbidden_name_is_not_told() -> None:
    asked = asyncio.Event()

    async def silence(name: str) -> list[Any]:
        asked.set()
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    for rules, code in (("*:22", ReplyCode.TIMED_OUT), ("127.0.0.1:22", ReplyCode.NOT_ALLOWED)):
        with pytest.raises(TargetRefusedError) as error:
            await connect_target("silent", 22, parse_rules(rules, "r"), silence, timeout_s=0.01)
        assert error.value.code == code
    assert asked.is_set()


async def test_cancelling_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    connector(monkeypatch, {"192.0.2.1": None})
    task = asyncio.create_task(connect_target("192.0.2.1", 1, EVERYTHING))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelling_just_when_it_is_connected_leaves_nothing(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, gate = asyncio.get_running_loop(), asyncio.Event()
    connected: list[socket.socket] = []

    async def sock_connect(sock: socket.socket, address: object) -> None:
        await gate.wait()
        connected.append(sock)

    monkeypatch.setattr(loop, "sock_connect", sock_connect)
    task = asyncio.create_task(connect_target("127.0.0.1", port_of(listener), EVERYTHING))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gate.set()
    await asyncio.sleep(0)
    assert connected
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)
    assert connected[0].fileno() == -1


async def test_two_winners_leave_one_socket(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    resolver(monkeypatch, {"both": ["127.0.0.1", "127.0.0.2"]})
    monkeypatch.setattr(target, "NEXT_ADDRESS_S", 0)
    loop, met = asyncio.get_running_loop(), asyncio.Barrier(2)

    async def together(sock: socket.socket, address: Any) -> None:
        await met.wait()
        with contextlib.suppress(BlockingIOError):
            sock.connect(listener.getsockname())

    monkeypatch.setattr(loop, "sock_connect", together)
    (await connect_target("both", 1, EVERYTHING)).close()
    await asyncio.sleep(0)
