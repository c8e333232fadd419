"""Datagrams through both ends of a UDP forward, over two private stacks and the packet path."""

import asyncio
import errno
import logging
import select
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from toxvpn.tcpforward.budget import DESCRIPTORS
from toxvpn.tcpforward.builtin import as_socket, open_builtin
from toxvpn.tcpforward.spec import Listen, Target, Transport
from toxvpn.tcpforward.target import Address
from toxvpn.tcpforward.udp import flows
from toxvpn.tcpforward.udp import listener as listener_module
from toxvpn.tcpforward.udp import server as server_module
from toxvpn.tcpforward.udp.asker import _Talk
from toxvpn.tcpforward.udp.listener import DatagramListener
from toxvpn.testing.fake_nodes import until
from toxvpn.testing.fast_pair import FastPair
from toxvpn.testing.forward_pair import ForwardPair, in_time
from toxvpn.tox.loglimit import LogLimit
from toxvpn.tox.peer import Peer
from toxvpn.wire.associations import (
    NAME,
    VERSION,
    Associate,
    Associated,
    AssociationEnded,
    Message,
    decode,
    encode,
)
from toxvpn.wire.jsonlines import JsonLines, encode_line
from toxvpn.wire.socks5 import ReplyCode

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]

HERE = "127.0.0.1"
LARGEST = 65507


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class Udp:
    """A local program, or a target, with a socket of its own."""

    def __init__(self, host: str = HERE) -> None:
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind((host, 0))
        self.port: int = self.socket.getsockname()[1]

    async def receive(self) -> tuple[bytes, tuple[str, int]]:
        data, source = await in_time(asyncio.get_running_loop().sock_recvfrom(self.socket, 1 << 16))
        return data, source[:2]


class Forwarded:
    """A UDP forward from `port` to `target`."""

    def __init__(self, pair: FastPair) -> None:
        self.pair = pair
        self._programs: list[Udp] = []
        self.target = self.program()
        self.listener = DatagramListener(Listen((HERE,), 0, Transport.UDP))
        self.listener.aim(pair.caller, Target(HERE, self.target.port))
        self.port: int = self.listener.sockets[0].getsockname()[1]
        self.listener.start()

    def program(self, host: str = HERE) -> Udp:
        self._programs.append(Udp(host))
        return self._programs[-1]

    def asks(self, data: bytes = b"question") -> Udp:
        program = self.program()
        program.socket.sendto(data, (HERE, self.port))
        return program

    async def exchange(
        self, program: Udp | None = None, data: bytes = b"question"
    ) -> tuple[Udp, tuple[str, int]]:
        """A question and its answer; returns the program, and its address as the target sees it."""
        program = program or self.program()
        program.socket.sendto(data, (HERE, self.port))
        received, source = await self.target.receive()
        assert received == data
        self.target.socket.sendto(data[::-1], source)
        assert await program.receive() == (data[::-1], (HERE, self.port))
        return program, source

    async def close(self) -> None:
        await self.listener.close()
        for each in self._programs:
            each.socket.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair() -> AsyncIterator[FastPair]:
    async with FastPair() as made:
        await made.until_fast()
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def forwarded(pair: FastPair) -> AsyncIterator[Forwarded]:
    await until(lambda: pair.datagrams.associations == 0)
    pair.allowed[:] = ["127.0.0.1:*"]
    pair.caller.log_limit = LogLimit()
    pair.datagrams._table.most_of_one = server_module.MAX_ASSOCIATIONS
    made = Forwarded(pair)
    yield made
    await made.close()
    await until(lambda: pair.datagrams.associations == 0)


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    class Lines(list[str]):
        def __contains__(self, part: object) -> bool:
            return any(str(part) in record.getMessage() for record in caplog.records if record.levelno >= 30)

    caplog.set_level(logging.WARNING, "toxvpn")
    yield Lines()


async def test_datagrams_go_and_come_whole(forwarded: Forwarded) -> None:
    program, source = await forwarded.exchange()
    for data in (b"", b"x", bytes(1200), bytes(range(256)) * 20, bytes(range(251)) * 260 + bytes(247)):
        assert len(data) <= LARGEST
        assert await forwarded.exchange(program, data) == (program, source)
    assert forwarded.listener.connections == forwarded.pair.datagrams.associations == 1


async def test_a_flood_is_carried_in_batches(forwarded: Forwarded) -> None:
    program, source = await forwarded.exchange()
    sent = [number.to_bytes(2) * 600 for number in range(60)]
    for each in sent:
        program.socket.sendto(each, (HERE, forwarded.port))
    assert [(await forwarded.target.receive())[0] for _ in sent] == sent
    for each in sent:
        forwarded.target.socket.sendto(each, source)
    assert [(await program.receive())[0] for _ in sent] == sent


async def test_each_program_has_its_own_association(forwarded: Forwarded) -> None:
    programs = [await forwarded.exchange(data=bytes([number])) for number in range(3)]
    assert len({source for _, source in programs}) == 3
    for number, (program, source) in enumerate(programs):
        forwarded.target.socket.sendto(bytes([number]), source)
        assert (await program.receive())[0] == bytes([number])


async def test_what_comes_before_there_is_an_association_waits(forwarded: Forwarded) -> None:
    program = forwarded.asks(b"one")
    program.socket.sendto(b"two", (HERE, forwarded.port))
    assert [(await forwarded.target.receive())[0] for _ in range(2)] == [b"one", b"two"]


async def test_a_name_is_tried_at_all_its_addresses(
    forwarded: Forwarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `localhost` may be, of which ::1 comes first, where the target listens on 127.0.0.1 alone."""

    async def addresses(_: Peer, __: str, port: int) -> list[Address]:
        return [Address(socket.AF_INET6, ("::1", port)), Address(socket.AF_INET, (HERE, port))]

    monkeypatch.setattr(forwarded.pair.server, "datagram_addresses", addresses)
    program, source = await forwarded.exchange()
    assert (await forwarded.exchange(program))[1] == source


async def test_a_target_of_ipv6(forwarded: Forwarded) -> None:
    forwarded.pair.allowed.append("udp/[::1]:*")
    forwarded.target = forwarded.program("::1")
    forwarded.listener.aim(forwarded.pair.caller, Target("::1", forwarded.target.port))
    await forwarded.exchange()


@pytest.mark.parametrize("rules", [["tcp/127.0.0.1:*"], ["udp/127.0.0.1:1"], ["udp/10.0.0.0/8:*"]])
async def test_what_no_rule_allows_is_refused(
    forwarded: Forwarded, warnings: list[str], rules: list[str]
) -> None:
    await forwarded.exchange()
    forwarded.pair.allowed[:] = rules
    forwarded.asks()
    await until(lambda: "the peer says: not allowed" in warnings)
    assert forwarded.pair.datagrams.associations == 1
    assert forwarded.listener.drops["no_association"] == 1, "it waited for an association"


async def test_a_peer_that_may_reach_nothing_cannot_even_ask(
    forwarded: Forwarded, warnings: list[str]
) -> None:
    forwarded.pair.allowed.clear()
    await forwarded.listener.close()
    other = Forwarded(forwarded.pair)
    other.asks()
    await until(lambda: "the peer says: not allowed" in warnings)
    await other.close()


async def test_nobody_at_the_target(forwarded: Forwarded, warnings: list[str]) -> None:
    forwarded.target.socket.close()
    program = forwarded.asks()
    await until(lambda: "the peer says: connection refused" in warnings)
    program.socket.sendto(b"again", (HERE, forwarded.port))
    await until(lambda: forwarded.listener.dropped["no_association"])
    assert forwarded.pair.datagrams.associations == 0


async def test_what_nobody_waits_for_any_more_is_not_opened(forwarded: Forwarded) -> None:
    """The peer is told of a program that made room while its association was being opened."""
    await forwarded.exchange()
    forwarded.asks()
    await until(lambda: forwarded.listener.connections == 2)
    [_, sender] = forwarded.listener._by_number.values()
    forwarded.listener._end(sender)
    forwarded.asks(b"later")
    while (await forwarded.target.receive())[0] != b"later":
        pass
    await until(lambda: forwarded.pair.datagrams.associations == forwarded.listener.connections == 2)


async def test_an_association_ends_by_being_idle(
    forwarded: Forwarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener_module, "EXPIRY_S", 0.01)
    monkeypatch.setattr(flows, "DNS_IDLE_S", 0.02)
    program, source = await forwarded.exchange()
    await until(lambda: forwarded.listener.connections == forwarded.pair.datagrams.associations == 0)
    assert (await forwarded.exchange(program))[1] != source


async def test_the_peer_ends_what_its_caller_has_forgotten(
    forwarded: Forwarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "LATER_S", -flows.DNS_IDLE_S)
    await forwarded.exchange()
    forwarded.pair.datagrams._expire()
    await until(lambda: forwarded.listener.connections == forwarded.pair.datagrams.associations == 0)


async def test_the_one_that_is_done_makes_room(forwarded: Forwarded, monkeypatch: pytest.MonkeyPatch) -> None:
    forwarded.pair.datagrams._table.most_of_one = 2
    long_lived, source = await forwarded.exchange()
    for _ in range(2):
        await forwarded.exchange(long_lived)
    await forwarded.exchange()
    await forwarded.exchange()
    assert (await forwarded.exchange(long_lived))[1] == source
    await until(lambda: forwarded.listener.connections == 2)


async def test_what_a_stranger_sends_before_there_is_an_association_is_dropped(
    forwarded: Forwarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    asks, near, far = _Talk._ask, forwarded.pair.calling.chooser.fast, forwarded.pair.serving.chooser.fast
    assert near is not None and far is not None
    take, taken = near.datagram_socket, list[socket.socket]()

    async def datagram_socket() -> socket.socket:
        taken.append(await take())
        return taken[-1]

    async def ask(talk: _Talk, request: Associate) -> int:
        with await far.datagram_socket() as stranger:
            stranger.sendto(b"from elsewhere", (str(near.address), request.source))
        await until(lambda: select.select(taken, [], [], 0)[0])
        return await asks(talk, request)

    monkeypatch.setattr(near, "datagram_socket", datagram_socket)
    monkeypatch.setattr(_Talk, "_ask", ask)
    await forwarded.exchange()
    assert forwarded.listener.dropped["stranger"] == 1


async def test_what_the_kernel_has_no_room_for_is_counted(forwarded: Forwarded) -> None:
    (bound,), program = forwarded.listener.sockets, forwarded.program()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)  # the least there is
    for _ in range(100):
        program.socket.sendto(bytes(1000), (HERE, forwarded.port))
    lost = forwarded.listener.drops["no_room"]
    assert 50 < lost < 100
    forwarded.listener.stop_listening()
    assert forwarded.listener.drops["no_room"] == lost


async def test_what_cannot_be_sent_to_the_target_is_counted_for_its_peer(
    forwarded: Forwarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_buffers(*_: object) -> None:
        raise OSError(errno.ENOBUFS, "no buffers")

    program, _ = await forwarded.exchange()
    pair = forwarded.pair
    monkeypatch.setattr(server_module, "send", no_buffers)
    for _ in range(3):
        program.socket.sendto(b"lost", (HERE, forwarded.port))
    await until(lambda: pair.datagrams.drops(pair.client_peer)["udp_target_full"] == 3)


async def test_a_peer_that_has_started_anew_is_asked_again(forwarded: Forwarded) -> None:
    program, _ = await forwarded.exchange()
    await forwarded.pair.builtins.close()  # its control streams end
    await until(lambda: forwarded.listener.connections == 0)
    await forwarded.exchange(program)


async def test_its_descriptors_are_given_back(forwarded: Forwarded) -> None:
    await forwarded.exchange()
    before, taken = open_descriptors(), DESCRIPTORS.taken
    for number in list(forwarded.listener._by_number):
        forwarded.listener._on_end(number, None)
    await until(lambda: forwarded.pair.datagrams.associations == 0)
    assert (before - open_descriptors(), taken - DESCRIPTORS.taken) == (3, 3)


async def test_without_descriptors_there_is_no_association(forwarded: Forwarded, warnings: list[str]) -> None:
    await forwarded.exchange()
    more = DESCRIPTORS.free - 1
    assert DESCRIPTORS.take(more)
    forwarded.asks()
    await until(lambda: "general failure" in warnings)
    DESCRIPTORS.give(more)


async def test_another_target_takes_effect_at_once(forwarded: Forwarded) -> None:
    program, _ = await forwarded.exchange()
    forwarded.target = forwarded.program()
    forwarded.listener.aim(forwarded.pair.caller, Target(HERE, forwarded.target.port))
    await forwarded.exchange(program)
    await until(lambda: forwarded.pair.datagrams.associations == 1)


async def test_on_every_address_the_answer_comes_from_the_one_that_was_asked(forwarded: Forwarded) -> None:
    everywhere = DatagramListener(Listen(("0.0.0.0",), 0, Transport.UDP))
    everywhere.aim(forwarded.pair.caller, Target(HERE, forwarded.target.port))
    everywhere.start()
    port = everywhere.sockets[0].getsockname()[1]
    program = forwarded.program()
    program.socket.connect(("127.0.0.5", port))
    program.socket.send(b"question")
    data, source = await forwarded.target.receive()
    forwarded.target.socket.sendto(data, source)
    assert await program.receive() == (b"question", ("127.0.0.5", port))
    await everywhere.close()


async def test_with_tuntox_there_is_no_udp(warnings: list[str], no_descriptor_is_left: None) -> None:
    async with ForwardPair() as pair:
        listener = DatagramListener(Listen((HERE,), 0, Transport.UDP))
        listener.aim(pair.caller, Target(HERE, 53))
        listener.start()
        await until(lambda: "udp/127.0.0.1:53: UDP needs the fast road" in warnings)
        await listener.close()


def line_of(message: Message) -> bytes:
    return encode_line(encode(message))


def message_in(data: bytes) -> Message:
    [line] = JsonLines().receive(data)
    return decode(line)


class TestHostile:
    """A peer that says what it wants on the control stream."""

    @pytest_asyncio.fixture(loop_scope="module")
    async def control(self, forwarded: Forwarded) -> AsyncIterator[socket.socket]:
        sock, ending = as_socket(await in_time(open_builtin(forwarded.pair.caller, NAME, VERSION)))
        with sock:
            yield sock
        ending.cancel()
        await asyncio.wait([ending])

    async def say(self, control: socket.socket, data: bytes) -> bytes:
        """What comes back, b"" at the end of the stream."""
        loop = asyncio.get_running_loop()
        await in_time(loop.sock_sendall(control, data))
        return await in_time(loop.sock_recv(control, 4096))

    @pytest.mark.parametrize("line", [b"hello\n", b"x" * 5000, line_of(Associated(1, 1)), b'{"open":1}\n'])
    async def test_nonsense_ends_the_stream(
        self, control: socket.socket, warnings: list[str], line: bytes
    ) -> None:
        assert await self.say(control, line) == b""
        assert "bad request for a UDP association" in warnings

    async def test_a_number_twice_ends_the_stream(self, control: socket.socket, forwarded: Forwarded) -> None:
        wanted = line_of(Associate(1, HERE, forwarded.target.port, 40000))
        assert isinstance(message_in(await self.say(control, wanted)), Associated)
        assert await self.say(control, wanted) in (b"", line_of(AssociationEnded(1)))
        await until(lambda: forwarded.pair.datagrams.associations == 0)

    async def test_requests_that_wait_are_limited(
        self, control: socket.socket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(server_module, "MAX_REQUESTS", 0)
        assert message_in(
            await self.say(control, line_of(Associate(1, HERE, 53, 40000)))
        ) == AssociationEnded(1, ReplyCode.GENERAL_FAILURE)

    async def test_the_end_of_the_stream_ends_its_associations(
        self, control: socket.socket, forwarded: Forwarded
    ) -> None:
        await self.say(control, line_of(Associate(1, HERE, forwarded.target.port, 40000)))
        assert forwarded.pair.datagrams.associations == 1
        control.shutdown(socket.SHUT_WR)
        await until(lambda: forwarded.pair.datagrams.associations == 0)


async def test_a_right_that_is_lost_during_the_look_up_gives_no_association(
    forwarded: Forwarded, monkeypatch: pytest.MonkeyPatch, warnings: list[str]
) -> None:
    async def too_late(_: Peer, host: str, port: int) -> list[Address]:
        forwarded.pair.allowed[:] = ["tcp/127.0.0.1:*"]
        return [Address(socket.AF_INET, (host, port))]

    monkeypatch.setattr(forwarded.pair.server, "datagram_addresses", too_late)
    forwarded.asks()
    await until(lambda: "not allowed" in warnings)
    assert forwarded.pair.datagrams.associations == 0
    with pytest.raises(BlockingIOError):
        forwarded.target.socket.recv(100)


async def test_a_right_that_is_taken_away_ends_its_association(forwarded: Forwarded) -> None:
    program, _ = await forwarded.exchange()
    forwarded.pair.datagrams.judge_again()
    await forwarded.exchange(program)
    forwarded.pair.allowed[:] = ["tcp/127.0.0.1:*"]
    forwarded.pair.datagrams.judge_again()
    assert forwarded.pair.datagrams.associations == 0
    program.socket.sendto(b"question", (HERE, forwarded.port))
    await asyncio.sleep(0.1)
    with pytest.raises(BlockingIOError):
        forwarded.target.socket.recv(100)
