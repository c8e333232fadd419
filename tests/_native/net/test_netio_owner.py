"""Sockets and clock that libtoxcore uses between enter and leave belong to one owner."""

import contextlib
import os
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn import linux
from toxvpn.linux import Capability
from toxvpn.testing.hooked import Hooked, set_time

S = 10**9
MS = S // 1000


@pytest.fixture
def owner() -> Iterator[Hooked]:
    owner = Hooked()
    yield owner
    for fd, _ in owner.sockets():
        owner.close(fd)


# -- sockets ----------------------------------------------------------------------------------------


def test_sockets_are_listed_while_they_are_open(owner: Hooked) -> None:
    assert owner.sockets() == []
    versions = [owner.sockets_version()]
    with owner:
        udp = owner.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        versions.append(owner.sockets_version())
        tcp = owner.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        versions.append(owner.sockets_version())
        assert sorted(owner.sockets()) == sorted([(udp, True), (tcp, False)])
        owner.close(udp)
        versions.append(owner.sockets_version())
    assert owner.sockets() == [(tcp, False)]
    owner.close(tcp)  # also outside
    versions.append(owner.sockets_version())
    assert owner.sockets() == []
    assert len(set(versions)) == len(versions)
    with pytest.raises(OSError):
        os.fstat(tcp)


def test_accepted_connections_are_the_owners(owner: Hooked) -> None:
    with owner:
        fd = owner.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener = socket.socket(fileno=fd)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with socket.create_connection(listener.getsockname()):
            accepted = owner.accept(listener.detach())
        assert sorted(owner.sockets()) == sorted([(fd, False), (accepted, False)])


def test_no_program_that_ours_becomes_inherits_them(owner: Hooked) -> None:
    with owner:
        listener = socket.socket(fileno=owner.socket(socket.AF_INET, socket.SOCK_STREAM))
        udp = owner.socket(socket.AF_INET, socket.SOCK_DGRAM)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with socket.create_connection(listener.getsockname()):
            accepted = owner.accept(listener.fileno())
    assert [os.get_inheritable(fd) for fd in (listener.detach(), udp, accepted)] == [False] * 3


def mark_of(sock: socket.socket) -> int:
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_MARK)


def marks(owner: Hooked) -> list[int]:
    """Those of a listener, of a connection that it accepts, and of sockets for datagrams."""
    with owner, contextlib.ExitStack() as undo:
        listener = socket.socket(fileno=owner.socket(socket.AF_INET, socket.SOCK_STREAM))
        undo.callback(listener.detach)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        undo.enter_context(socket.create_connection(listener.getsockname()))
        made = [owner.accept(listener.fileno())]
        made += [owner.socket(family, socket.SOCK_DGRAM) for family in (socket.AF_INET, socket.AF_INET6)]
        sockets = [socket.socket(fileno=fd) for fd in made]
        for sock in sockets:
            undo.callback(sock.detach)
        return [mark_of(sock) for sock in (listener, *sockets)]


@pytest.mark.skipif(not linux.permitted() & 1 << Capability.NET_ADMIN, reason="marks take CAP_NET_ADMIN")
def test_sockets_have_the_mark_that_was_set_before(owner: Hooked) -> None:
    assert marks(owner) == [0] * 4
    owner.set_mark(116)
    assert marks(owner) == [116] * 4
    with socket.socket() as others:
        assert mark_of(others) == 0


def test_all_are_listed_however_many_there_are(owner: Hooked) -> None:
    count = 1100  # a relay for others may have thousands
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with owner:
            made = {owner.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)}
            assert {fd for fd, _ in owner.sockets()} == made
            for fd in made:
                owner.close(fd)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_streams_send_small_packets_at_once_made_or_accepted(owner: Hooked) -> None:
    with owner:
        kind = socket.SOCK_STREAM | socket.SOCK_NONBLOCK
        listener = socket.socket(fileno=owner.socket(socket.AF_INET, kind))
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with socket.create_connection(listener.getsockname()):
            accepted = socket.socket(fileno=owner.accept(listener.fileno()))
        for stream in (listener, accepted):
            assert stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            stream.detach()


def test_streams_have_room_for_what_comes_in_a_pause_made_or_accepted(owner: Hooked) -> None:
    """And they wake for the first byte."""
    most = int(Path("/proc/sys/net/ipv4/tcp_rmem").read_text().split()[2])
    with owner:
        listener = socket.socket(fileno=owner.socket(socket.AF_INET, socket.SOCK_STREAM))
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with socket.create_connection(listener.getsockname()):
            accepted = socket.socket(fileno=owner.accept(listener.fileno()))
        for stream in (listener, accepted):
            assert stream.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= min(1 << 20, most // 2)
            assert stream.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == 1
            stream.detach()


def test_sockets_made_outside_are_nobodys(owner: Hooked) -> None:
    fd = owner.socket(socket.AF_INET, socket.SOCK_DGRAM)
    assert owner.sockets() == []
    owner.close(fd)


def test_two_owners_do_not_mix(owner: Hooked) -> None:
    other = Hooked()
    with owner:
        mine = owner.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with other:
            theirs = other.socket(socket.AF_INET, socket.SOCK_STREAM)
        also_mine = owner.socket(socket.AF_INET, socket.SOCK_STREAM)
    assert sorted(owner.sockets()) == sorted([(mine, True), (also_mine, False)])
    assert other.sockets() == [(theirs, False)]
    other.close(theirs)


def test_a_descriptor_closed_elsewhere_is_taken_over(owner: Hooked) -> None:
    other = Hooked()
    with owner:
        fd = owner.socket(socket.AF_INET, socket.SOCK_DGRAM)
    os.close(fd)
    with other:
        assert other.socket(socket.AF_INET, socket.SOCK_STREAM) == fd
    assert owner.sockets() == []
    assert other.sockets() == [(fd, False)]
    other.close(fd)


def test_errors_are_those_of_the_plain_calls(owner: Hooked) -> None:
    with owner:
        with pytest.raises(OSError) as no_family:
            owner.socket(12345, socket.SOCK_DGRAM)
        with pytest.raises(OSError) as not_open:
            owner.close(-1)
        with pytest.raises(BlockingIOError):
            owner.recvfrom(owner.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK))
    assert no_family.value.strerror == "Address family not supported by protocol"
    assert not_open.value.strerror == "Bad file descriptor"


# -- clock ------------------------------------------------------------------------------------------


@pytest.fixture
def real_time() -> Iterator[None]:
    set_time(100 * S)
    yield
    set_time(None)


@pytest.mark.usefixtures("real_time")
def test_the_owners_clock_runs_at_its_rate() -> None:
    owner = Hooked()
    with owner:
        assert owner.clock_ns() == 100 * S
        owner.set_clock_rate(4)
        assert owner.clock_ns() == 100 * S
        set_time(103 * S)
        assert owner.clock_ns() == 112 * S
        owner.set_clock_rate(1)
        assert owner.clock_ns() == 112 * S
        set_time(104 * S + 1)
        assert owner.clock_ns() == 113 * S + 1


@pytest.mark.usefixtures("real_time")
def test_only_the_owner_and_only_its_monotonic_clock() -> None:
    owner, other = Hooked(), Hooked()
    owner.set_clock_rate(4)
    set_time(103 * S)
    assert owner.clock_ns() == 103 * S  # outside
    with other:
        assert other.clock_ns() == 103 * S
        with owner:
            assert owner.clock_ns() == 112 * S
            assert owner.clock_ns(time.CLOCK_BOOTTIME) == 103 * S
        assert other.clock_ns() == 103 * S


@given(
    st.lists(
        st.tuples(st.integers(0, 10**12), st.none() | st.floats(0, 100, exclude_min=True) | st.just(1.0)),
        min_size=1,
    )
)
def test_never_backwards_whatever_the_rates(steps: list[tuple[int, float | None]]) -> None:
    real = 5 * S
    set_time(real)
    try:
        owner, last = Hooked(), 0
        with owner:
            for elapsed, rate in steps:
                real += elapsed
                set_time(real)
                assert owner.clock_ns() >= last
                last = owner.clock_ns()
                if rate is not None:
                    owner.set_clock_rate(rate)
                    assert owner.clock_ns() == last
    finally:
        set_time(None)


@pytest.mark.usefixtures("real_time")
@pytest.mark.parametrize("rate", [0, -1, 1000, float("inf"), float("nan")])
def test_impossible_rates_are_ignored(rate: float) -> None:
    owner = Hooked()
    with owner:
        owner.set_clock_rate(rate)
        set_time(101 * S)
        assert owner.clock_ns() == 101 * S


@pytest.mark.usefixtures("real_time")
def test_a_step_is_seen_at_once_and_then_waited_for() -> None:
    owner = Hooked()
    with owner:
        owner.step_clock(0.05)
        assert owner.clock_ns() == 100 * S + 50 * MS
        set_time(100 * S + 49 * MS)
        assert owner.clock_ns() == 100 * S + 50 * MS
        set_time(100 * S + 51 * MS)
        assert owner.clock_ns() == 100 * S + 51 * MS


@pytest.mark.usefixtures("real_time")
def test_steps_within_a_step_do_not_add_up() -> None:
    """Many changes must not make the clock drift."""
    owner = Hooked()
    with owner:
        for _ in range(10):
            owner.step_clock(0.05)
        assert owner.clock_ns() == 100 * S + 50 * MS
        owner.step_clock(0.01)
        assert owner.clock_ns() == 100 * S + 50 * MS, "never backwards"


@pytest.mark.usefixtures("real_time")
def test_a_step_counts_in_the_owners_own_time() -> None:
    owner = Hooked()
    with owner:
        owner.set_clock_rate(4)
        owner.step_clock(0.4)
        set_time(100 * S + 99 * MS)
        assert owner.clock_ns() == 100 * S + 400 * MS
        set_time(100 * S + 101 * MS)
        assert owner.clock_ns() == 100 * S + 404 * MS


@pytest.mark.usefixtures("real_time")
@pytest.mark.parametrize("step_s", [0, -1, 1.1, float("inf"), float("nan")])
def test_impossible_steps_are_ignored(step_s: float) -> None:
    owner = Hooked()
    with owner:
        owner.step_clock(step_s)
        assert owner.clock_ns() == 100 * S


@pytest.mark.usefixtures("real_time")
def test_a_jump_is_for_good_and_is_not_multiplied() -> None:
    owner = Hooked()
    with owner:
        owner.set_clock_rate(4)
        set_time(101 * S)
        owner.jump_clock(33)
        assert owner.clock_ns() == 137 * S
        set_time(102 * S)
        assert owner.clock_ns() == 141 * S


@pytest.mark.usefixtures("real_time")
@pytest.mark.parametrize("jump_s", [0, -1, 60.5, float("inf"), float("nan")])
def test_impossible_jumps_are_ignored(jump_s: float) -> None:
    owner = Hooked()
    with owner:
        owner.jump_clock(jump_s)
        assert owner.clock_ns() == 100 * S


def test_real_time_by_default() -> None:
    owner = Hooked()
    with owner:
        before = time.monotonic_ns()
        now = owner.clock_ns()
        assert before <= now <= time.monotonic_ns()
