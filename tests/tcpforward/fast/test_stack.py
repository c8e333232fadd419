import asyncio
import contextlib
import os
import pwd
import random
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from ipaddress import IPv6Address
from pathlib import Path

import pyroute2
import pytest
import pytest_asyncio

import toxvpn
from toxvpn.tcpforward.fast import stack as stack_module
from toxvpn.tcpforward.fast.helper import SYSCTLS
from toxvpn.tcpforward.fast.patience import DEFAULT_S, longest_rto_s, repetitions
from toxvpn.tcpforward.fast.questions import ask
from toxvpn.tcpforward.fast.stack import (
    HELPER,
    SPARE_SOCKETS,
    OutOfDescriptorsError,
    Stack,
    StackUnavailableError,
    early_helper,
)
from toxvpn.testing.two_stacks import TwoStacks
from toxvpn.wire.ip import STACK_MTU

A = IPv6Address("fd74:6f78::a")
PORT = 1080
BULK = random.Random(1).randbytes(1_000_003) * 20

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("no_descriptor_is_left")]


@pytest_asyncio.fixture
async def stack(no_descriptor_is_left: None) -> AsyncIterator[Stack]:
    made = await Stack.start(A)
    yield made
    await made.close()


async def connected(caller: Stack, server: Stack, port: int = PORT) -> tuple[socket.socket, socket.socket]:
    """Both ends of a new connection."""
    loop = asyncio.get_running_loop()
    with await server.listen(port) as listener:
        sock = await caller.socket()
        await loop.sock_connect(sock, (str(server.address), port))
        accepted, _ = await loop.sock_accept(listener)
    return sock, accepted


async def receive(sock: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size and (more := await asyncio.get_running_loop().sock_recv(sock, 1 << 20)):
        data += more
    return bytes(data)


async def start_with(monkeypatch: pytest.MonkeyPatch, statements: str) -> str:
    """Why the stack does not start when its helper runs `statements` first."""
    monkeypatch.setattr(stack_module, "HELPER", f"{statements}; {HELPER}")
    with pytest.raises(StackUnavailableError) as error:
        await Stack.start(A)
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


async def test_bytes_go_through_both_stacks_intact(stacks: TwoStacks) -> None:
    a, b = stacks.a, stacks.b
    sock, accepted = await connected(a, b)
    with sock, accepted:
        assert accepted.getpeername()[0] == str(a.address)
        send = asyncio.create_task(asyncio.get_running_loop().sock_sendall(sock, BULK))
        assert await receive(accepted, len(BULK)) == BULK
        await send
        await asyncio.get_running_loop().sock_sendall(accepted, b"answer")
        assert await receive(sock, 6) == b"answer"


def has_bbr() -> bool:
    return "bbr" in Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text().split()


def congestion_control(sock: socket.socket) -> str:
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0").decode()


async def test_sockets_are_ready_for_use(stacks: TwoStacks) -> None:
    a, b = stacks.a, stacks.b
    for sock in await connected(a, b):
        with sock:
            assert not sock.getblocking()
            assert not sock.get_inheritable()
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 120
            assert not sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT), "a reader may pause"
            assert (congestion_control(sock) == "bbr") is has_bbr()
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) < STACK_MTU - 60


async def test_a_lost_keystroke_is_repeated_soon(stacks: TwoStacks) -> None:
    for sock in await connected(stacks.a, stacks.b):
        with sock:
            tcp_info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 12)
            assert int.from_bytes(tcp_info[8:12], sys.byteorder) < 100_000, "tcpi_rto, in us; usually 200 ms"


async def test_the_congestion_control_is_bbr_where_it_is_had(stack: Stack) -> None:
    with await stack.socket() as sock:
        assert (congestion_control(sock) == "bbr") is has_bbr()


async def test_data_travels_in_the_first_packet(stacks: TwoStacks) -> None:
    a, b = stacks.a, stacks.b
    loop = asyncio.get_running_loop()
    with await b.listen(PORT) as listener, await a.socket() as sock:
        with contextlib.suppress(BlockingIOError):
            sock.sendto(b"in the SYN", socket.MSG_FASTOPEN, (str(b.address), PORT))
        accepted, _ = await loop.sock_accept(listener)
        with accepted:
            assert accepted.recv(100) == b"in the SYN"


async def test_the_kernel_has_taken_all_that_was_wanted(stack: Stack) -> None:
    inside = ["nsenter", "-t", str(stack._helper.pid), "-n"]
    files = [f"/proc/sys/{name}" for name in SYSCTLS]
    done = await asyncio.to_thread(
        subprocess.run, [*inside, "cat", *files], stdout=subprocess.PIPE, check=True
    )
    values = [" ".join(line.split()) for line in done.stdout.decode().splitlines()]
    assert dict(zip(SYSCTLS, values, strict=True)) == SYSCTLS


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle stream asks after a second, and is no more patient than others."""
    patch = (
        "from toxvpn.tcpforward.fast import patience; "
        "patience.keep_alive.__defaults__ = (1,); patience.IDLE_TIMES = 1"
    )
    monkeypatch.setattr(stack_module, "HELPER", f"{patch}; {HELPER}")


async def test_a_stack_that_does_not_answer_any_more_is_noticed_and_one_that_pauses_is_left_alone(
    hasty: None,
) -> None:
    """By who waits, and by who sends. A reader that takes nothing for longer has all the same a stack."""
    keep_s = 3
    stacks = await TwoStacks.start(keep_s)
    slow = await TwoStacks.start(keep_s)
    sock, unread = await connected(slow.a, slow.b)
    sent = await fill(sock)
    idle = await connected(stacks.a, stacks.b)
    busy = await connected(stacks.a, stacks.b, PORT + 1)
    stacks.cable.plugged = False
    busy[0].send(b"x")
    began_s = asyncio.get_running_loop().time()
    for pair in (idle, busy):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(receive(pair[0], 1), 20)
        for each in pair:
            each.close()
    await asyncio.sleep(began_s + keep_s + 2 - asyncio.get_running_loop().time())
    with sock, unread:
        sock.shutdown(socket.SHUT_WR)
        assert len(await receive(unread, sent)) == sent
    await stacks.close()
    await slow.close()


async def fill(sock: socket.socket) -> int:
    """Sends until nothing more is taken; returns how many bytes."""
    sent, quiet = 0, 0
    while quiet < 5:
        try:
            sent += sock.send(bytes(1 << 16))
            quiet = 0
        except BlockingIOError:
            await asyncio.sleep(0.05)
            quiet += 1
    return sent


@pytest.mark.parametrize("idle", [False, True])
async def test_a_stack_that_was_started_anew_ends_the_streams_of_the_old_one(hasty: None, idle: bool) -> None:
    """At the first packet: of who sends, and of who only asks whether it is still there."""
    stacks = await TwoStacks.start()
    sock, accepted = await connected(stacks.a, stacks.b)
    stacks.cable.close()  # no farewell gets through
    accepted.close()
    address = stacks.b.address
    await stacks.b.close()
    again = TwoStacks(stacks.a, await Stack.start(address))
    with sock:
        if not idle:
            sock.send(b"are you there?")
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(receive(sock, 1), 20)
    await again.close()


async def test_who_asked_in_vain_is_told_when_asked_to_ask_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """By itself it would ask again after minutes."""
    patch = "from toxvpn.tcpforward.fast import patience; patience.keep_alive.__defaults__ = (1,)"
    monkeypatch.setattr(stack_module, "HELPER", f"{patch}; {HELPER}")
    stacks = await TwoStacks.start(DEFAULT_S)
    sock, accepted = await connected(stacks.a, stacks.b)
    stacks.cable.plugged = False
    with sock:
        await unanswered(sock)
        stacks.cable.close()
        accepted.close()
        address = stacks.b.address
        await stacks.b.close()
        again = TwoStacks(stacks.a, await Stack.start(address, DEFAULT_S))
        ask({sock.fileno()}, stacks.a.address)
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(receive(sock, 1), 20)
    await again.close()


async def unanswered(sock: socket.socket) -> None:
    """Returns when it has asked, and nobody has answered."""
    probes_at = 3  # tcpi_probes of struct tcp_info
    async with asyncio.timeout(20):
        while not sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)[probes_at]:
            await asyncio.sleep(0.05)


async def test_streams_are_kept_as_long_as_is_asked_for() -> None:
    stack = await Stack.start(A, keep_s=1200)
    try:
        show = ["nsenter", "-t", str(stack._helper.pid), "-n", "sysctl", "-n", "net.ipv4.tcp_retries2"]
        done = await asyncio.to_thread(subprocess.run, show, stdout=subprocess.PIPE, check=True)
        assert int(done.stdout) in (repetitions(1200), repetitions(1200, longest_rto_s(1200)))
        with await stack.socket() as sock:
            options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            assert [sock.getsockopt(socket.IPPROTO_TCP, each) for each in options] == [40, 60, 120]
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 0
    finally:
        await stack.close()


async def test_the_queue_holds_packets_of_many_streams(stack: Stack) -> None:
    show = ["nsenter", "-t", str(stack._helper.pid), "-n", "ip", "link", "show", stack.tun.name]
    done = await asyncio.to_thread(subprocess.run, show, stdout=subprocess.PIPE, check=True)
    assert b"qlen 10000" in done.stdout


async def test_the_host_is_left_alone() -> None:
    def host() -> list[object]:
        names = (
            "net/ipv4/tcp_fastopen",
            "net/ipv6/conf/default/addr_gen_mode",
            "net/ipv4/tcp_congestion_control",
        )
        return [socket.if_nameindex(), [(Path("/proc/sys") / name).read_text() for name in names]]

    before = host()
    stack = await Stack.start(A)
    try:
        assert host() == before
    finally:
        await stack.close()
    assert host() == before


async def test_many_sockets_at_once(stack: Stack) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(stack.socket()) for _ in range(3 * SPARE_SOCKETS)]
    made = {task.result().fileno() for task in tasks}
    assert len(made) == 3 * SPARE_SOCKETS
    for task in tasks:
        task.result().close()


async def test_a_port_in_use_is_refused_and_the_stack_goes_on(stack: Stack) -> None:
    with await stack.listen(PORT):
        with pytest.raises(StackUnavailableError, match="in use"):
            await stack.listen(PORT)
        (await stack.socket()).close()


async def test_no_descriptors_left_is_an_error_that_passes(stack: Stack) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(int(fd.name) for fd in Path("/proc/self/fd").iterdir())
    fill: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 8, limits[1]))
    try:
        with contextlib.suppress(OSError):
            while True:
                fill.append(os.dup(0))
        with pytest.raises(OutOfDescriptorsError, match="Too many open files"):
            await stack.socket()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for fd in fill:
            os.close(fd)
    (await stack.socket()).close()


async def test_a_killed_helper_is_noticed_and_connections_live_on(stacks: TwoStacks) -> None:
    a, b = stacks.a, stacks.b
    sock, accepted = await connected(a, b)
    with sock, accepted:
        a._helper.kill()
        async with asyncio.timeout(10):
            assert "status -9" in await a.lost
        with pytest.raises(StackUnavailableError, match="status -9"):
            await a.listen(PORT)
        await asyncio.get_running_loop().sock_sendall(sock, b"still there")
        assert await receive(accepted, 11) == b"still there"
        with pytest.raises(StackUnavailableError):
            while True:
                (await a.socket()).close()


async def test_who_waits_when_the_helper_dies_is_told(stack: Stack, caplog: pytest.LogCaptureFixture) -> None:
    os.kill(stack._helper.pid, signal.SIGSTOP)
    waiting = asyncio.create_task(stack.listen(PORT))
    await asyncio.sleep(0)
    stack._helper.kill()
    async with asyncio.timeout(10):
        with pytest.raises(StackUnavailableError):
            await waiting
    assert not caplog.records


async def test_signals_of_the_terminal_do_not_end_the_helper(stack: Stack) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(stack._helper.pid, number)
    (await stack.listen(PORT)).close()


async def test_a_helper_that_hangs_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = await Stack.start(A)
    monkeypatch.setattr(stack_module, "STOP_TIMEOUT_S", 0.01)
    os.kill(stack._helper.pid, signal.SIGSTOP)
    await stack.close()
    assert "status -9" in stack.lost.result()


async def test_an_answer_that_nobody_waits_for_any_more_is_not_leaked(stack: Stack) -> None:
    for _ in range(2):
        task = asyncio.create_task(stack.listen(PORT))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    (await stack.listen(PORT + 1)).close()


async def test_cancelling_the_start_leaves_nothing() -> None:
    task = asyncio.create_task(Stack.start(A))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_no_user_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    reason = await start_with(
        monkeypatch,
        "from toxvpn import namespaces as h; import os; "
        "h.unshare = lambda flags: (_ for _ in ()).throw(PermissionError(1, os.strerror(1)))",
    )
    assert reason == "user namespaces are not allowed here: Operation not permitted"


async def test_the_switch_that_forbids_user_namespaces_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "user").mkdir()
    (tmp_path / "user/max_user_namespaces").write_text("0\n")
    reason = await start_with(
        monkeypatch,
        "from toxvpn import namespaces as h; import os; "
        f"h.SYSCTL_FOLDER = {str(tmp_path)!r}; "
        "h.unshare = lambda flags: (_ for _ in ()).throw(PermissionError(1, os.strerror(1)))",
    )
    assert reason == "user namespaces are not allowed here: sysctl user.max_user_namespaces is 0"


async def test_no_tun_device(monkeypatch: pytest.MonkeyPatch) -> None:
    reason = await start_with(
        monkeypatch, "from toxvpn.tun.host import device; device.DEVICE_FILE = '/dev/net/none'"
    )
    assert "/dev/net/none" in reason


async def test_a_tun_device_of_roots_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its mode is the reason, and no switch of user namespaces."""
    reason = await start_with(
        monkeypatch,
        "from toxvpn.tcpforward.fast import helper as h; import os; h.enter_namespace = lambda: True; "
        "from toxvpn import namespaces; "
        "namespaces._reads = lambda name, value: True; "
        "os.open = lambda *_, **__: (_ for _ in ()).throw(PermissionError(13, os.strerror(13)))",
    )
    mode = Path("/dev/net/tun").stat().st_mode & 0o777
    assert reason.startswith(f"this user cannot open /dev/net/tun (its mode is {mode:04o})")


async def test_no_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    reason = await start_with(
        monkeypatch,
        "from toxvpn.tcpforward.fast import helper as h; h.SYSCTLS = {'net/ipv6/conf/all/disable_ipv6': '1'}",
    )
    assert "could not be set up" in reason


async def test_a_helper_that_does_not_come_up(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await start_with(monkeypatch, "sys.exit(3)") == "the helper process has ended with status 3"


async def test_a_helper_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_module, "START_TIMEOUT_S", 0.01)
    monkeypatch.setattr(stack_module, "STOP_TIMEOUT_S", 0.01)
    assert "did not answer" in await start_with(monkeypatch, "import time; time.sleep(60)")


async def test_no_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(StackUnavailableError, match="No such file"):
        await Stack.start(A)


async def test_an_interpreter_that_this_user_cannot_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As below /root, with -U."""
    (tmp_path / "python").touch(0o600)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(StackUnavailableError) as error:
        await Stack.start(A)
    who = pwd.getpwuid(os.geteuid()).pw_name
    assert str(error.value) == (
        f"the helper process did not start: {who} cannot run {tmp_path}/python: "
        "install toxvpn where every user can read it"
    )


async def test_the_helper_inherits_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOXVPN_SHARED_SECRET", "do not tell")
    stack = await Stack.start(A)
    try:
        process = Path(f"/proc/{stack._helper.pid}")
        assert b"do not tell" not in (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
        names = [str(fd.readlink()) for fd in (process / "fd").iterdir()]
        assert sum("socket:" in name for name in names) == 1
    finally:
        await stack.close()


# What a daemon would be: not dumpable, with threads. It prints its helper's process ID and serves on.
DAEMON = """
import asyncio, ctypes, os, sys, threading
from ipaddress import IPv6Address
from toxvpn.tcpforward.fast.stack import Stack

async def main():
    ctypes.CDLL(None).prctl(4, 0)
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    stack = await Stack.start(IPv6Address("fd74:6f78::a"))
    listener = await stack.listen(1080)
    sock = await stack.socket()
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, (str(stack.address), 1080))
    accepted, _ = await loop.sock_accept(listener)
    await loop.sock_sendall(sock, b"x")
    assert await loop.sock_recv(accepted, 1) == b"x"
    if {holds}:
        if os.fork() == 0:
            sys.stdout.close()
            os.read(0, 1)
            os._exit(0)
    print(stack._helper.pid, flush=True)
    await asyncio.to_thread(sys.stdin.read, 1)
    await stack.close()

asyncio.run(main())
"""


@pytest.fixture
def public_path() -> Iterator[str]:
    """The package and what its stack needs, where any user may read it."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        for package in (toxvpn, pyroute2):
            assert package.__file__
            source = Path(package.__file__).parent
            target = Path(folder) / source.name
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.so", "*.c", "__pycache__"))
        yield folder


def daemon(path: str, user: str | None, *, holds: bool = False) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [os.path.realpath(sys.executable), "-c", DAEMON.format(holds=holds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        user=user,
        group=user and "nogroup",
        extra_groups=user and [],
    )


@pytest.mark.parametrize("user", [None, "nobody"])
def test_as_a_daemon_and_as_any_user(user: str | None, public_path: str) -> None:
    with daemon(public_path, user) as process:
        assert process.stdout and process.stdin
        helper = int(process.stdout.readline())
        assert Path(f"/proc/{helper}").stat().st_uid == (0 if user is None else 65534)
        process.stdin.close()
        assert process.wait(timeout=20) == 0
    assert not Path(f"/proc/{helper}").exists()


@pytest.mark.parametrize("holds", [False, True], ids=["alone", "a child of it holds the socket"])
def test_the_helper_dies_with_a_killed_parent(holds: bool, public_path: str) -> None:
    with daemon(public_path, None, holds=holds) as process:
        assert process.stdout and process.stdin
        helper = os.pidfd_open(int(process.stdout.readline()))
        process.kill()
        gone = select.poll()
        gone.register(helper, select.POLLIN)
        assert gone.poll(20_000)
        os.close(helper)


# Gives up what it has once the helper has been started.
RESTRICTED = """
import asyncio, os, sys
from ipaddress import IPv6Address
from toxvpn.tcpforward.fast.stack import Stack, early_helper
from toxvpn import linux

async def main():
    stack = await Stack.start(IPv6Address("fd74:6f78::a"))
    listener = await stack.listen(1080)
    sock = await stack.socket()
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, (str(stack.address), 1080))
    print(stack._helper.pid, flush=True)
    await asyncio.to_thread(sys.stdin.read, 1)
    await stack.close()

with early_helper():
    if {uid}:
        os.setgroups([])
        os.setresgid({uid}, {uid}, {uid})
        os.setresuid({uid}, {uid}, {uid})
    linux.keep_only(())
    linux.no_new_privileges()
    asyncio.run(main())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to have rights to give up")
@pytest.mark.parametrize("uid", [0, 54321])
def test_a_helper_started_early_needs_no_user_namespace_and_keeps_no_rights(
    uid: int, public_path: str
) -> None:
    with subprocess.Popen(
        [os.path.realpath(sys.executable), "-c", RESTRICTED.format(uid=uid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": public_path, "PYTHONDONTWRITEBYTECODE": "1"},
    ) as process:
        assert process.stdin and process.stdout
        helper = Path("/proc") / process.stdout.readline().decode().strip()
        assert (helper / "ns/user").readlink() == Path("/proc/self/ns/user").readlink()
        assert (helper / "ns/net").readlink() != Path("/proc/self/ns/net").readlink()
        status = dict(line.split(":\t", 1) for line in (helper / "status").read_text().splitlines())
        assert status["Uid"].split() == status["Gid"].split() == [str(uid)] * 4
        for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert int(status[kind], 16) == 0, kind
        assert status["NoNewPrivs"] == "1"
        process.stdin.close()
        assert process.wait(timeout=20) == 0
    assert not helper.exists()


async def test_a_helper_that_nobody_wants_in_the_end_is_gone() -> None:
    with early_helper():
        [(_, helper)] = stack_module._early
    assert helper.returncode is not None and not stack_module._early
