"""The binding on the real library, and the fake under the same contract.

No network but loopback, two handles in one process.
"""

import errno
import gc
import os
import shutil
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from toxvpn._native.options import Options
from toxvpn._native.results import Connection, PortError, SavedataError, SendResult, ToxError
from toxvpn._native.toxcore import Tox, version
from toxvpn.errors import ClosedError, UsageError
from toxvpn.testing.fake_tox import FakeNetwork, FakeTox
from toxvpn.testing.hooked import fail_sends

LOCAL = Options(ipv6=False, local_discovery=False)
KINDS = [pytest.param("real", marks=pytest.mark.real), "fake"]


class Recorder:
    """Keeps the events that it receives; raises `fail` if that is set."""

    def __init__(self) -> None:
        self.connections: list[Connection] = []
        self.requests: list[tuple[bytes, bytes]] = []
        self.statuses: list[bytes] = []
        self.friends: list[Connection] = []
        self.lossy: list[bytes] = []
        self.lossless: list[bytes] = []
        self.fail: Exception | None = None

    def on_self_connection(self, connection: Connection) -> None:
        self.connections.append(connection)

    def on_friend_request(self, public_key: bytes, message: bytes) -> None:
        self.requests.append((public_key, message))

    def on_friend_name(self, number: int, name: bytes) -> None: ...
    def on_nap(self, slept_s: float) -> None: ...

    def on_friend_status_message(self, number: int, text: bytes) -> None:
        self.statuses.append(text)

    def on_friend_connection(self, number: int, connection: Connection) -> None:
        self.friends.append(connection)

    def on_lossy(self, number: int, packet: bytes) -> None:
        self.lossy.append(packet)

    def on_lossless(self, number: int, packet: bytes) -> None:
        self.lossless.append(packet)
        if self.fail is not None:
            raise self.fail


Make = Callable[[Recorder], Tox]


UNHEARD = (b"\xbfnobody", b"\xfenobody")


def hearing(tox: Tox) -> Tox:
    """Accept all custom packets but those that begin with UNHEARD."""
    for packet_id in {*range(160, 255)} - {packet[0] for packet in UNHEARD}:
        tox.accept_packets(packet_id)
    return tox


def real(handler: Recorder) -> Tox:
    return hearing(Tox(LOCAL, handler=handler))


def fakes() -> Make:
    network = FakeNetwork()
    return lambda handler: hearing(cast(Tox, FakeTox(network, handler=handler)))


class Pair:
    """Two handles that are friends; the second one bootstraps from the first."""

    def __init__(self, make: Make = real) -> None:
        self.recorders = (Recorder(), Recorder())
        self.ends = (make(self.recorders[0]), make(self.recorders[1]))
        first, second = self.ends
        second.bootstrap("127.0.0.1", first.udp_port, first.dht_id)
        self.numbers = (
            first.friend_add_norequest(second.public_key),
            second.friend_add_norequest(first.public_key),
        )
        first.status_message = b"first"
        for end in self.ends:
            end.set_clock_rate(4)

    def turn_until(self, done: object, deadline_s: float = 40) -> None:
        ends_s = time.monotonic() + deadline_s
        while not done():  # type: ignore[operator]
            assert time.monotonic() < ends_s, "not reached in time"
            for end in self.ends:
                end.iterate()
            time.sleep(0.002)  # toxcore's own pace; nothing is awaited by it

    def close(self) -> None:
        for end in self.ends:
            end.close()


@pytest.fixture(scope="module", params=KINDS)
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    made = Pair(real if request.param == "real" else fakes())
    made.turn_until(lambda: all(Connection.UDP in recorder.friends for recorder in made.recorders))
    yield made
    made.close()


def test_version_is_of_the_supported_line() -> None:
    assert version().startswith("0.2.")


WATCH = """
#define _GNU_SOURCE
#include <malloc.h>
#include <string.h>
extern void __libc_free(void *);
static const void *needle;
static size_t length;
static int found;
void watch(const void *wanted, size_t size) { needle = wanted, length = size, found = 0; }
int seen(void) { return found; }
void free(void *memory)
{
    if (memory && needle && memmem(memory, malloc_usable_size(memory), needle, length))
        found++;
    __libc_free(memory);
}
"""
SAVE = """
import ctypes
from toxvpn._native.options import Options
from toxvpn._native.toxcore import Tox
tox = Tox(Options(udp=False, local_discovery=False))
save = tox.savedata()
process = ctypes.CDLL(None)
at = save.index(tox.public_key) + 32  # the secret key follows the public one
key = save[at : at + 32]
process.watch(key, 32)
again = tox.savedata()
print(process.seen(), again == save)
"""


def test_the_secret_key_is_wiped_before_its_memory_is_given_back(tmp_path: Path) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    (tmp_path / "watch.c").write_text(WATCH)
    subprocess.run([compiler, "-shared", "-fPIC", "watch.c", "-o", "watch.so"], cwd=tmp_path, check=True)
    environment = os.environ | {
        "LD_PRELOAD": str(tmp_path / "watch.so"),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    result = subprocess.run(
        [sys.executable, "-c", SAVE], env=environment, capture_output=True, text=True, timeout=60
    )
    assert (result.stdout, result.stderr) == ("0 True\n", "")


def test_identity_survives_in_savedata() -> None:
    one = Tox(Options(udp=False))
    one.nospam = 0x01020304
    save, address = one.savedata(), one.address
    one.close()
    two = Tox(Options(udp=False), savedata=save)
    assert two.address == address
    assert two.public_key == address[:32]
    assert two.nospam == 0x01020304
    two.close()


@pytest.mark.parametrize("bad", [b"", b"x" * 40, b"toxEsave" + bytes(200)])
def test_bad_savedata_is_refused(bad: bytes) -> None:
    with pytest.raises(SavedataError):
        Tox(Options(udp=False), savedata=bad)


def test_port_in_use_is_told() -> None:
    one = Tox(LOCAL)
    with pytest.raises(PortError):
        Tox(Options(ipv6=False, local_discovery=False, udp_ports=(one.udp_port, one.udp_port)))
    one.close()


def test_every_call_after_close_raises() -> None:
    tox = Tox(Options(udp=False))
    tox.close()
    tox.close()
    for call in (tox.iterate, tox.savedata, tox.friend_list, tox.iteration_interval_ms, tox.cork):
        with pytest.raises(ClosedError):
            call()
    for send in (tox.send_lossy, tox.send_lossy_unfragmented, tox.send_lossless):
        with pytest.raises(ClosedError):
            send(0, b"\xc8x")


def test_own_sockets_are_listed() -> None:
    tox = Tox(LOCAL)
    before = tox.sockets_version
    assert [datagram for _, datagram in tox.sockets()] == [True]
    tox.close()
    assert tox.sockets() == []
    assert tox.sockets_version != before


def test_friends() -> None:
    tox = Tox(Options(udp=False))
    other = Tox(Options(udp=False))
    number = tox.friend_add(other.address, b"secret\0")
    assert tox.friend_list() == [number]
    assert tox.friend_by_public_key(other.public_key) == number
    assert tox.friend_public_key(number) == other.public_key
    assert tox.friend_connection(number) is Connection.NONE
    with pytest.raises(ToxError) as known:
        tox.friend_add(other.address, b"again")
    assert known.value.code == "FRIEND_ADD_ALREADY_SENT"
    assert tox.friend_delete(number)
    assert not tox.friend_delete(number)
    assert tox.friend_by_public_key(other.public_key) is None
    assert tox.friend_public_key(7) is None
    with pytest.raises(UsageError, match="own"):
        tox.friend_add(tox.address, b"hi")
    with pytest.raises(UsageError, match="checksum"):
        tox.friend_add(other.address[:-1] + bytes([other.address[-1] ^ 1]), b"hi")
    with pytest.raises(UsageError, match="38 bytes"):
        tox.friend_add(b"short", b"hi")
    for end in (tox, other):
        end.close()


def test_name_and_status_message() -> None:
    tox = Tox(Options(udp=False))
    assert tox.name == b"" and tox.status_message == b""
    tox.name = b"box"
    tox.status_message = b'{"toxvpn":{}}'
    assert (tox.name, tox.status_message) == (b"box", b'{"toxvpn":{}}')
    with pytest.raises(ToxError):
        tox.status_message = b"x" * 1008
    tox.close()


@pytest.mark.real  # another program may take the port meanwhile
def test_handle_dropped_without_close_leaves_no_socket() -> None:
    tox = Tox(LOCAL)
    tox.handler = Recorder()
    gone = weakref.ref(tox.handler)
    port = tox.udp_port
    del tox
    gc.collect()
    assert gone() is None
    again = Tox(Options(ipv6=False, local_discovery=False, udp_ports=(port, port)))
    again.close()


def test_bad_bootstrap_address() -> None:
    tox = Tox(LOCAL)
    with pytest.raises(ToxError):
        tox.bootstrap("127.0.0.1", 0, bytes(32))
    with pytest.raises(UsageError):
        tox.bootstrap("127.0.0.1", 1, b"short")
    tox.close()


def test_status_message_arrives_on_connect(pair: Pair) -> None:
    pair.turn_until(lambda: b"first" in pair.recorders[1].statuses)
    # one without a status message is told of as well: "does it speak toxvpn?" has an answer
    pair.turn_until(lambda: b"" in pair.recorders[0].statuses)


@pytest.mark.parametrize("size", [1, 2, 1372, 1373])
def test_packets_arrive_whole(pair: Pair, size: int) -> None:
    lossless, lossy = b"\xa2" + b"l" * (size - 1), b"\xc8" + b"y" * (size - 1)
    assert pair.ends[0].send_lossless(pair.numbers[0], lossless) is SendResult.SENT
    assert pair.ends[0].send_lossy(pair.numbers[0], lossy) is SendResult.SENT
    pair.turn_until(lambda: lossless in pair.recorders[1].lossless and lossy in pair.recorders[1].lossy)


def test_a_whole_packet_goes_at_once_or_not_at_all(pair: Pair) -> None:
    tox, number, lossy = pair.ends[0], pair.numbers[0], pair.recorders[1].lossy
    either: object = tox
    if isinstance(either, FakeTox):
        either.congested = True
    fail_sends([errno.EAGAIN])
    try:
        assert tox.send_lossy_unfragmented(number, b"\xc8" + bytes(1372)) is SendResult.QUEUE_FULL
    finally:
        fail_sends([])
    if isinstance(either, FakeTox):
        either.congested = False
    assert not tox.congested
    lossy.clear()
    assert tox.send_lossy_unfragmented(number, b"\xc8once") is SendResult.SENT
    pair.turn_until(lambda: lossy)
    assert lossy == [b"\xc8once"]


def test_a_turn_in_which_the_handler_heard_something_was_not_quiet(pair: Pair) -> None:
    first, second = pair.ends
    received = pair.recorders[0].lossless
    first.sockets()
    pair.turn_until(lambda: first.quiet)
    received.clear()
    second.send_lossless(pair.numbers[1], b"\xa0once")
    pair.turn_until(lambda: received)
    assert not first.quiet
    pair.turn_until(lambda: first.quiet)
    assert received == [b"\xa0once"]


def test_packets_for_which_nobody_is_there_are_counted_and_wake_nobody(pair: Pair) -> None:
    lossless, lossy = UNHEARD
    first, second = pair.ends
    before = first.unaccepted_packets
    first.sockets()
    pair.turn_until(lambda: first.quiet)
    assert second.send_lossy(pair.numbers[1], lossy) is SendResult.SENT
    pair.turn_until(lambda: first.unaccepted_packets == before + 1)
    assert first.quiet
    assert second.send_lossless(pair.numbers[1], lossless) is SendResult.SENT
    pair.turn_until(lambda: first.unaccepted_packets == before + 2)
    assert first.quiet
    assert lossless not in pair.recorders[0].lossless and lossy not in pair.recorders[0].lossy


def test_sockets_that_nobody_has_asked_for_are_not_quiet() -> None:
    tox = Tox(LOCAL)
    tox.iterate()
    quiet = [tox.quiet]
    tox.sockets()
    quiet.append(tox.quiet)
    assert quiet == [False, True]
    tox.close()


def test_corked_packets_keep_their_order(pair: Pair) -> None:
    packets = [bytes([201, i]) + bytes(i * 5) for i in range(100)]
    pair.recorders[1].lossy.clear()
    pair.ends[0].cork()
    for packet in packets:
        assert pair.ends[0].send_lossy(pair.numbers[0], packet) is SendResult.SENT
    pair.ends[0].uncork()
    pair.turn_until(lambda: len(pair.recorders[1].lossy) >= len(packets))
    assert pair.recorders[1].lossy == packets


def test_send_results(pair: Pair) -> None:
    tox, number = pair.ends[0], pair.numbers[0]
    assert tox.send_lossless(number, b"\xa2" * 1374) is SendResult.INVALID
    assert tox.send_lossless(number, b"") is SendResult.INVALID
    assert tox.send_lossy(number, b"\x01") is SendResult.INVALID
    assert tox.send_lossy(77, b"\xc8") is SendResult.NOT_FOUND
    stranger = tox.friend_add_norequest(bytes(31) + b"\x09")
    assert tox.send_lossy(stranger, b"\xc8") is SendResult.OFFLINE
    tox.friend_delete(stranger)


def test_lossless_queue_fills_and_drains(pair: Pair) -> None:
    tox, number = pair.ends[0], pair.numbers[0]
    packets: list[bytes] = []
    results: list[SendResult] = []
    pair.recorders[1].lossless.clear()
    while len(packets) < 100_000:
        packet = b"\xa2" + len(packets).to_bytes(4) + bytes(1300)
        results.append(tox.send_lossless(number, packet))
        if results[-1] is not SendResult.SENT:
            break
        packets.append(packet)
    assert results[-1] is SendResult.QUEUE_FULL
    # all that was taken arrives, in order
    pair.turn_until(lambda: len(pair.recorders[1].lossless) == len(packets), 120)
    assert pair.recorders[1].lossless == packets


def test_first_callback_error_is_raised_after_the_turn(pair: Pair) -> None:
    def sent(packet: bytes) -> Callable[[], bool]:
        return lambda: pair.ends[0].send_lossless(pair.numbers[0], packet) is SendResult.SENT

    pair.turn_until(sent(b"\xa2before"))  # the queue may still be draining
    pair.turn_until(lambda: b"\xa2before" in pair.recorders[1].lossless)
    pair.recorders[1].fail = RuntimeError("first")
    pair.turn_until(sent(b"\xa2one"))
    with pytest.raises(RuntimeError, match="first"):
        pair.turn_until(lambda: False, 10)
    pair.recorders[1].fail = None
    pair.turn_until(sent(b"\xa2two"))
    pair.turn_until(lambda: b"\xa2two" in pair.recorders[1].lossless)


@pytest.mark.parametrize("kind", KINDS)
def test_close_inside_a_callback_is_safe(kind: str) -> None:
    made = Pair(real if kind == "real" else fakes())

    class Closer(Recorder):
        def on_lossless(self, number: int, packet: bytes) -> None:
            made.ends[1].close()

    made.turn_until(lambda: all(Connection.UDP in recorder.friends for recorder in made.recorders))
    made.ends[1].handler = Closer()
    made.ends[0].send_lossless(made.numbers[0], b"\xa2close")
    with pytest.raises(ClosedError):
        made.turn_until(lambda: False, 10)
    made.close()


@pytest.mark.parametrize("kind", KINDS)
def test_friend_request_carries_its_message_and_another_one_after_a_friendship(kind: str) -> None:
    make = real if kind == "real" else fakes()
    recorder = Recorder()
    server, client = make(recorder), make(Recorder())
    for end in (server, client):
        end.set_clock_rate(4)

    def wait_for_request(message: bytes) -> None:
        ends_s = time.monotonic() + 40
        while (client.public_key, message) not in recorder.requests:
            assert time.monotonic() < ends_s
            if recorder.requests:  # the earlier one comes more than once, by different ways
                forget_request()
            server.iterate()
            client.iterate()
            time.sleep(0.002)

    def forget_request() -> None:
        """Once it has reported a request, toxcore ignores others of that key until there was a friendship."""
        recorder.requests.clear()
        server.friend_delete(server.friend_add_norequest(client.public_key))

    client.bootstrap("127.0.0.1", server.udp_port, server.dht_id)
    number = client.friend_add(server.address, b"secret\0")
    wait_for_request(b"secret\0")
    client.friend_delete(number)
    forget_request()
    client.friend_add(server.address, b"another\0")
    wait_for_request(b"another\0")
    for end in (server, client):
        end.close()
