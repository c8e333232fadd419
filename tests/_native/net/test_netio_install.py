"""Which hooks come into force: in the real libtoxcore, and in libraries of every linking style.

A process installs once, so each case runs in a process of its own, which reports as JSON.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from toxvpn.testing import boxes

CRYPTO = {"crypto"} if len(boxes.usable_kernels()) > 1 else set()
"""On a processor for which there is a kernel besides the portable one."""
PUNCH = {"punch"} if CRYPTO else set()
QUICK = {"quick"} if CRYPTO else set()
ALL = (
    {"sockets", "batch", "streams", "clock", "page_lock", "scratch", "reunion", "detour"}
    | CRYPTO
    | PUNCH
    | QUICK
)


# What libtoxcore imports, behind functions that a test can call.
LIBRARY = """
#include <stddef.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
int sodium_mlock(void *, size_t); int sodium_munlock(void *, size_t); void sodium_memzero(void *, size_t);
int crypto_box_afternm(void *, const void *, unsigned long long, const void *, const void *);
int crypto_box_open_afternm(void *, const void *, unsigned long long, const void *, const void *);
int crypto_scalarmult_curve25519_base(unsigned char *, const unsigned char *);
int probe_socket(void) { return socket(AF_INET, SOCK_DGRAM, 0); }
int probe_close(int fd) { return close(fd); }
#ifndef WITHOUT_ACCEPT
int probe_accept(int fd) { return accept(fd, 0, 0); }
#endif
long probe_sendto(int fd, const void *a, socklen_t n) { return sendto(fd, "hello", 5, 0, a, n); }
long probe_recvfrom(int fd, void *out, size_t room) { return recvfrom(fd, out, room, 0, 0, 0); }
int probe_setsockopt(int fd) { int n = 1 << 20; return setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &n, sizeof n); }
int probe_stream(void) { return socket(AF_INET, SOCK_STREAM, 0); }
int probe_connect(int fd, const void *a, socklen_t n) { return connect(fd, a, n); }
long probe_send(int fd) { return send(fd, "hello", 5, MSG_NOSIGNAL); }
long probe_recv(int fd, void *out, size_t room) { return recv(fd, out, room, MSG_NOSIGNAL); }
int probe_readable(int fd) { int n = -1; ioctl(fd, FIONREAD, &n); return n; }
long probe_clock(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec; }
int probe_mlock(void *p, size_t n) { return sodium_mlock(p, n); }
int probe_munlock(void *p, size_t n) { return sodium_munlock(p, n); }
void *probe_malloc(size_t n) { return malloc(n); }
void probe_free(void *p) { free(p); }
void probe_memzero(void *p, size_t n) { sodium_memzero(p, n); }
int probe_seal(void *c, const void *m, unsigned long long l, const void *n, const void *k)
{ return crypto_box_afternm(c, m, l, n, k); }
int probe_open(void *m, const void *c, unsigned long long l, const void *n, const void *k)
{ return crypto_box_open_afternm(m, c, l, n, k); }
int probe_base(unsigned char *q) { return crypto_scalarmult_curve25519_base(q, q); }
"""
SODIUM = """
#include <stddef.h>
#include <string.h>
int locks, unlocks, shortest = 1 << 30, wipes;
int sodium_mlock(void *p, size_t n) { locks++; if ((int)n < shortest) shortest = n; return 0; }
int sodium_munlock(void *p, size_t n) { unlocks++; return 0; }
void sodium_memzero(void *p, size_t n) { wipes++; memset(p, 0, n); }
#include <dlfcn.h>
typedef int box(void *, const void *, unsigned long long, const void *, const void *);
int seals, opens;
#ifndef FLAWED
#define FLAWED 0
#endif
static box *real(const char *name) { return (box *)dlsym(dlopen("libsodium.so.23", RTLD_NOW), name); }
int crypto_box_afternm(void *c, const void *m, unsigned long long l, const void *n, const void *k) {
    seals++;
    int result = real("crypto_box_afternm")(c, m, l, n, k);
    ((unsigned char *)c)[l - 1] ^= FLAWED;
    return result;
}
int crypto_box_open_afternm(void *m, const void *c, unsigned long long l, const void *n, const void *k) {
    opens++;
    return real("crypto_box_open_afternm")(m, c, l, n, k);
}
int crypto_scalarmult_curve25519_base(unsigned char *q, const unsigned char *n) { return 7; }
int crypto_box_easy(void) { return 0; }
int crypto_box_keypair(void) { return 0; }
void randombytes_buf(void *p, size_t n) {}
"""
LINKING = {
    "bound at once, read-only": ["-Wl,-z,now,-z,relro"],
    "bound lazily, read-only in part": ["-Wl,-z,lazy,-z,relro"],
    "bound lazily, writable": ["-Wl,-z,lazy,-z,norelro"],
    "without a PLT": ["-fno-plt", "-Wl,-z,now,-z,relro"],
}


@pytest.fixture(scope="session")
def compiler() -> str:
    found = shutil.which("cc") or shutil.which("gcc")
    if not found:
        pytest.skip("needs a C compiler")
    return found


def build(compiler: str, folder: Path, *options: str) -> Path:
    (folder / "library.c").write_text(LIBRARY)
    (folder / "sodium.c").write_text(SODIUM)
    shared = [compiler, "-O2", "-shared", "-fPIC"]
    subprocess.run([*shared, "sodium.c", "-o", "libsodium-like.so"], cwd=folder, check=True)
    needs = ["-L.", "-l:libsodium-like.so", "-Wl,-rpath,$ORIGIN"]
    subprocess.run([*shared, *options, "library.c", "-o", "libtox-like.so", *needs], cwd=folder, check=True)
    return folder / "libtox-like.so"


KINDS = [0x87, 0x87, 0x87, 0x87, 0x83, 0x86, 0x87]
LENGTHS = [353, 354, 355, 490, 490, 490, 1400]
"""The third, fourth and last of such datagrams harm a flawed libtoxcore."""

PRELUDE = (
    f"KINDS, LENGTHS = {KINDS}, {LENGTHS}"
    + """
import ctypes, json, os, socket, sys
from toxvpn._native.net import netio
from toxvpn.testing.hooked import Hooked, set_time
from toxvpn.testing import boxes, sockaddr
def address(function):
    return ctypes.cast(function, ctypes.c_void_p).value
def protection(name):
    return [line.split()[1] for line in open("/proc/self/maps") if line.rstrip().endswith(name)]
"""
)

USE = """
library, sodium = ctypes.CDLL(sys.argv[1]), ctypes.CDLL(sys.argv[1].replace("tox-like", "sodium-like"))
before = protection("libtox-like.so")
library.probe_clock()                     # bound lazily: one entry is filled in already
hooks = netio.install(address(library.probe_clock), len(sys.argv) > 2)
after = protection("libtox-like.so")
again = netio.install(0) == hooks == netio.hooks()
set_time(5 * 10**9)
owner = Hooked(batching=hooks.batch.in_force, streaming=hooks.streams.in_force)
owner.set_clock_rate(4)
set_time(7 * 10**9)
receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
receiver.bind(("127.0.0.1", 0))
receiver.settimeout(5)
with owner:
    fd = library.probe_socket()
    library.probe_setsockopt(fd)
    sockets = owner.sockets() == [(fd, True)]
    clock = library.probe_clock()
    to = sockaddr.pack(*receiver.getsockname())
    for _ in range(3):
        library.probe_sendto(fd, to, len(to))
received = [receiver.recvfrom(100) for _ in range(3)]
receiver.sendto(b"answer", received[0][1])
answer = ctypes.create_string_buffer(20)
library.probe_recvfrom(fd, answer, 20)
lengths = []
for kind, length in zip(KINDS, LENGTHS):
    receiver.sendto(bytes([kind]) + bytes(length - 1), received[0][1])
    lengths.append(library.probe_recvfrom(fd, ctypes.create_string_buffer(2048), 2048))
listener = socket.create_server(("127.0.0.1", 0))
with owner:
    stream = library.probe_stream()
    same = socket.socket(fileno=os.dup(stream))
    same.connect(listener.getsockname())
    library.probe_send(stream)
    library.probe_send(stream)
accepted = listener.accept()[0]
streamed = accepted.recv(10, socket.MSG_WAITALL).decode()
accepted.sendall(b"answer")
same.recv(1, socket.MSG_PEEK)
with owner:
    readable = library.probe_readable(stream)
    back = ctypes.create_string_buffer(20)
    library.probe_recv(stream, back, 20)
    library.probe_close(stream)
    library.probe_close(fd)
keys, scratch, small = (ctypes.create_string_buffer(length) for length in (73728, 1432, 41))
for memory in keys, scratch, small:
    library.probe_mlock(memory, ctypes.c_size_t(len(memory)))
    library.probe_munlock(memory, ctypes.c_size_t(len(memory)))
count = lambda name: ctypes.c_int.in_dll(sodium, name).value
def by_libsodium(length):
    # how often libsodium was called to seal and open one box; the bytes are right in any case
    before = count("seals"), count("opens")
    text = bytes(32) + bytes(range(256)) * 8
    box, opened = (ctypes.create_string_buffer(length) for _ in range(2))
    right = library.probe_seal(box, text, ctypes.c_ulonglong(length), b"n" * 24, b"k" * 32) == 0
    right &= library.probe_open(opened, box, ctypes.c_ulonglong(length), b"n" * 24, b"k" * 32) == 0
    assert right and opened.raw == text[:length] and boxes.sodium_open(box.raw, b"n" * 24, b"k" * 32)
    assert library.probe_seal(box, text, ctypes.c_ulonglong(31), b"n" * 24, b"k" * 32) == -1
    return [count("seals") - before[0], count("opens") - before[1]]
print(json.dumps({
    "hooks": hooks._asdict(), "same_protection": before == after, "idempotent": again, "sockets": sockets,
    "clock": clock, "received": [data.decode() for data, _ in received], "answer": answer.value.decode(),
    "segmented": netio.counters()["segmented"], "counted": netio.counters()["received"],
    "streamed": [streamed, readable, back.value.decode(), netio.counters()["stream_send_calls"]],
    "lengths": lengths, "shielded": netio.counters()["shielded"], "shield": netio.shield(),
    "closed": owner.sockets() == [], "locks": count("locks"), "unlocks": count("unlocks"),
    "shortest_locked": count("shortest"), "kernel": netio.kernel(),
    "by_libsodium": [by_libsodium(length) for length in (32, 2048, 2049)],
}))
"""


def report(script: str, *arguments: str, **environment: str) -> dict[str, Any]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("TOXVPN_")}
    result = subprocess.run(
        [sys.executable, "-c", PRELUDE + script, *arguments],
        env=plain | environment | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def in_force(hooks: dict[str, tuple[bool, str]]) -> set[str]:
    assert all(bool(reason) != there for there, reason in hooks.values())
    return {name for name, (there, _) in hooks.items() if there}


@pytest.mark.parametrize("linking", LINKING)
def test_every_part_takes_in_every_linking_style(compiler: str, tmp_path: Path, linking: str) -> None:
    seen = report(USE, str(build(compiler, tmp_path, *LINKING[linking])))
    assert in_force(seen.pop("hooks")) == ALL
    assert bool(seen.pop("kernel")) == bool(CRYPTO)
    assert seen.pop("by_libsodium") == ([[1, 0], [1, 0], [2, 1]] if CRYPTO else [[2, 1]] * 3)
    assert seen == {
        "same_protection": True, "idempotent": True, "sockets": True, "clock": 5 + 4 * 2,
        "received": ["hello"] * 3, "answer": "answer", "segmented": 1, "counted": 8, "closed": True,
        "streamed": ["hellohello", 6, "answer", 1],
        "lengths": LENGTHS, "shielded": 0, "shield": None, "locks": 1, "unlocks": 1,
        "shortest_locked": 73728,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("environment", "missing"),
    [
        ({"TOXVPN_SOCKETS": "off"}, {"sockets", "batch", "streams", "detour"} | PUNCH | QUICK),
        ({"TOXVPN_UDP_BATCH": "off"}, {"batch", "detour"} | PUNCH),
        ({"TOXVPN_STREAMS": "off"}, {"streams"} | QUICK),
        ({"TOXVPN_CLOCK": "off"}, {"clock"}),
        ({"TOXVPN_PAGE_LOCK": "strict"}, {"page_lock"}),
        ({"TOXVPN_SCRATCH": "off"}, {"scratch"}),
        ({"TOXVPN_CRYPTO": "off"}, (CRYPTO or {"crypto"}) | PUNCH | QUICK),
        ({"TOXVPN_REUNION": "off"}, {"reunion"}),
        ({"TOXVPN_DETOUR": "off"}, {"detour"}),
        ({"TOXVPN_PUNCH": "off"}, {"punch"}),
        ({"TOXVPN_QUICK": "off"}, {"quick"}),
    ],
)
def test_the_environment_asks_for_plain_parts(
    compiler: str, tmp_path: Path, environment: dict[str, str], missing: set[str]
) -> None:
    seen = report(USE, str(build(compiler, tmp_path)), **environment)
    ((name, value),) = environment.items()
    assert in_force(seen["hooks"]) == ALL - missing
    ours = "crypto" in in_force(seen["hooks"])
    assert bool(seen["kernel"]) == (seen["by_libsodium"][0] != [2, 1]) == ours
    assert all(f"{name}={value}" in seen["hooks"][hook][1] for hook in missing)
    assert seen["received"] == ["hello"] * 3
    assert seen["answer"] == "answer"
    assert seen["sockets"] == ("sockets" not in missing)
    assert seen["segmented"] == ("batch" not in missing)
    assert seen["streamed"] == ["hellohello", 6, "answer", int("streams" not in missing)]
    assert (seen["clock"] == 13) == ("clock" not in missing)
    assert (seen["locks"], seen["unlocks"]) == ((3, 3) if "page_lock" in missing else (1, 1))


PACKETS = """
library, sodium = ctypes.CDLL(sys.argv[1]), ctypes.CDLL(sys.argv[1].replace("tox-like", "sodium-like"))
library.probe_malloc.restype = ctypes.c_void_p
netio.install(address(library.probe_clock))
owner, seen = Hooked(), {}
wipes = lambda: ctypes.c_int.in_dll(sodium, "wipes").value
def packet(size, text, locked=True):
    "What libtoxcore does with scratch; the address, and what is left there just before it is freed."
    memory, length = library.probe_malloc(ctypes.c_size_t(size)), ctypes.c_size_t(size)
    place = ctypes.c_void_p(memory)
    locked and library.probe_mlock(place, length)
    ctypes.memmove(memory, text, len(text))
    library.probe_memzero(place, length)
    locked and library.probe_munlock(place, length)
    left = ctypes.string_at(memory, len(text)).decode()
    library.probe_free(place)
    return memory, left
with owner:
    two = [library.probe_malloc(ctypes.c_size_t(1404)) for _ in range(2)]
    seen["two"] = len(set(two))
    for each in two:
        library.probe_free(ctypes.c_void_p(each))
    packets = [packet(1100 + number, b"text") for number in range(20)]
    seen["places"] = len({at for at, _ in packets})
    seen["kept"] = {at for at, _ in packets} <= set(two)
    seen["left"] = sorted({left for _, left in packets})
    seen["not scratch"] = packet(1404, b"text", locked=False)[1]
    seen["small"] = packet(1032, b"text")[1]
    seen["large"] = packet(2113, b"text")[1]
    seen["wiped meanwhile"] = wipes()
seen["wiped in the end"] = wipes()
with owner:
    many = [library.probe_malloc(ctypes.c_size_t(2112)) for _ in range(9)]
    for each in many:
        ctypes.memset(each, 1, 2112)      # all of them are whole, and none is another's
        library.probe_free(ctypes.c_void_p(each))
    seen["many"] = len(set(many))
    held = library.probe_malloc(ctypes.c_size_t(1404))
    ctypes.memmove(held, b"held", 4)
seen["held"] = ctypes.string_at(held, 4).decode()
libc, large = ctypes.CDLL(None), ctypes.c_size_t(4000)
libc.realloc.restype = libc.malloc.restype = ctypes.c_void_p
for _ in range(1000):                    # no hole is left that is too small for it to grow in
    libc.malloc(ctypes.c_size_t(2112))
seen["grown"] = "never"
for _ in range(100):
    with owner:
        at = library.probe_malloc(ctypes.c_size_t(2112))
        library.probe_mlock(ctypes.c_void_p(at), ctypes.c_size_t(2112))
        grown = libc.realloc(ctypes.c_void_p(at), large)
        ctypes.memset(grown, 120, 4000)
        library.probe_memzero(ctypes.c_void_p(grown), large)
        if grown != at:
            continue  # kept, so that the next one lies elsewhere
        seen["grown"] = ctypes.string_at(at, 4).decode()
        library.probe_free(ctypes.c_void_p(grown))
seen["outside"] = packet(1404, b"text")[1]
library.probe_free(ctypes.c_void_p(held))
print(json.dumps(seen))
"""


@pytest.mark.parametrize(
    ("environment", "kept"),
    [({}, True), ({"TOXVPN_SCRATCH": "off"}, False), ({"TOXVPN_PAGE_LOCK": "strict"}, False)],
)
def test_scratch_is_lent_again_and_wiped_when_the_turn_is_over(
    compiler: str, tmp_path: Path, environment: dict[str, str], kept: bool
) -> None:
    seen = report(PACKETS, str(build(compiler, tmp_path)), **environment)
    wiped = "\0" * 4
    assert seen["left"] == (["text"] if kept else [wiped])
    if kept:
        assert (seen["places"], seen["kept"]) == (1, True)
        assert seen["wiped in the end"] == seen["wiped meanwhile"] + 1
    else:
        assert seen["wiped in the end"] == seen["wiped meanwhile"]
    # what is not scratch, or of another size, or outside a turn, is wiped at once
    assert [seen[each] for each in ("not scratch", "small", "large", "outside")] == [wiped] * 4
    assert seen["grown"] == wiped, "it may be smaller again when the turn is over"
    assert (seen["two"], seen["many"], seen["held"]) == (2, 9, "held")


@pytest.mark.parametrize("linking", LINKING)
@pytest.mark.parametrize("environment", [{}, {"TOXVPN_UDP_BATCH": "off"}])
def test_the_shield_keeps_long_announce_requests_from_a_flawed_library(
    compiler: str, tmp_path: Path, linking: str, environment: dict[str, str]
) -> None:
    library = build(compiler, tmp_path, *LINKING[linking])
    seen = report(USE, str(library), "flawed", **environment)
    assert seen["shield"] == [True, ""]
    assert seen["lengths"] == [353, 354, 0, 0, 490, 490, 0]
    assert seen["shielded"] == 3
    assert seen["answer"] == "answer"


def test_without_our_sockets_there_is_no_shield(compiler: str, tmp_path: Path) -> None:
    seen = report(USE, str(build(compiler, tmp_path)), "flawed", TOXVPN_SOCKETS="off")
    assert seen["shield"] == [False, "TOXVPN_SOCKETS=off"]
    assert (seen["lengths"], seen["shielded"]) == (LENGTHS, 0)


def test_a_library_that_cannot_be_shielded_tells_why() -> None:
    seen = report("netio.install(1, True)\nprint(json.dumps({'shield': netio.shield()}))")
    assert seen["shield"] == [False, "libtoxcore was not found as a shared library"]


def test_a_part_is_all_or_nothing(compiler: str, tmp_path: Path) -> None:
    seen = report(USE, str(build(compiler, tmp_path, "-DWITHOUT_ACCEPT")))
    assert in_force(seen["hooks"]) == {"clock", "page_lock", "scratch", "reunion"} | CRYPTO
    assert seen["streamed"][:3] == ["hellohello", 6, "answer"]
    assert "does not import" in seen["hooks"]["sockets"][1]
    assert not seen["sockets"]
    assert seen["received"] == ["hello"] * 3


def test_a_libsodium_that_differs_goes_on_encrypting(compiler: str, tmp_path: Path) -> None:
    """What the other side would not open is worse than what is slow."""
    folder = build(compiler, tmp_path).parent
    shared = [compiler, "-shared", "-fPIC", "-DFLAWED=1"]
    subprocess.run([*shared, "sodium.c", "-o", "libsodium-like.so"], cwd=folder, check=True)
    seen = report(
        "library = ctypes.CDLL(sys.argv[1])\n"
        "hooks = netio.install(address(library.probe_clock))._asdict()\n"
        "print(json.dumps(hooks | {'kernel': netio.kernel()}))",
        str(folder / "libtox-like.so"),
    )
    assert seen.pop("kernel") == ""
    assert in_force(seen) == ALL - {"crypto", "punch", "quick"}
    assert not CRYPTO or "differs from libsodium" in seen["crypto"][1]


def test_an_address_in_no_library() -> None:
    seen = report("print(json.dumps(netio.install(1)._asdict()))")
    assert in_force(seen) == set()


def test_the_real_libtoxcore_takes_every_part() -> None:
    seen = report("import toxvpn._native.toxcore\nprint(json.dumps(netio.hooks()._asdict()))")
    assert in_force(seen) == ALL


def test_hardened_means_undumpable() -> None:
    seen = report(
        "prctl = ctypes.CDLL(None).prctl\n"
        "before = prctl(3, 0, 0, 0, 0)\n"  # PR_GET_DUMPABLE
        "netio.harden()\n"
        "print(json.dumps({'dumpable': [before, prctl(3, 0, 0, 0, 0)]}))"
    )
    assert seen["dumpable"] == [1, 0]
