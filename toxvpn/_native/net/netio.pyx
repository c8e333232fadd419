"""Hooks under libtoxcore: the network, the clock and the page locks that it uses, replaced by ours.

`install` points libtoxcore's own import entries for some functions of the C library and of libsodium at
functions of ours. There are four groups of hooks; each is in force or not by itself:

- sockets: tells exactly which sockets are libtoxcore's (socket, accept, close)
- batch: sends and receives many UDP datagrams per system call (sendto, recvfrom), and gets the receive buffer
  that libtoxcore asks for (setsockopt, when privileged); needs `sockets`
- clock: a handle's clock can run faster for a while, or in steps (clock_gettime)
- page_lock: caches of keys stay locked in memory, the scratch memory of each packet does not (sodium_mlock,
  sodium_munlock)

A libtoxcore with a flaw that a stranger's datagrams can reach (flaws.py) gets a fifth group, the shield, which
drops the datagrams that would harm it (recvfrom).

Where a group is not in force, libtoxcore works without it. These environment variables switch groups off:
TOXVPN_SOCKETS=off (also batch and shield), TOXVPN_UDP_BATCH=off, TOXVPN_CLOCK=off (the rate is always 1),
TOXVPN_PAGE_LOCK=strict (every scratch buffer is locked, about half the speed).

Neighbours: toxcore.pyx enters and leaves an owner around each call into libtoxcore; the C files are hooks.c,
sendbatch.c, recvbatch.c, pagelock.c, importpatch.c. `Hooked` below is for tests.
"""

import os
from typing import NamedTuple

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.errno cimport errno
from .netio cimport netio_drained

from libc.stdlib cimport free, malloc
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t, uintptr_t


cdef extern from "<sys/types.h>" nogil:
    ctypedef Py_ssize_t ssize_t

cdef extern from "<sys/prctl.h>" nogil:
    int PR_SET_DUMPABLE
    int prctl(int option, unsigned long value, unsigned long, unsigned long, unsigned long)

cdef extern from "<sys/socket.h>" nogil:
    int SOL_SOCKET
    int SO_RCVBUF
    ctypedef unsigned int socklen_t
    struct sockaddr:
        pass
    struct sockaddr_storage:
        pass
    struct msghdr:
        size_t msg_controllen

cdef extern from "<time.h>" nogil:
    ctypedef int clockid_t
    int CLOCK_MONOTONIC
    struct timespec:
        long tv_sec
        long tv_nsec

cdef extern from "kernel.h":
    struct kernel_calls "netio_kernel":
        ssize_t (*sendmsg)(int, const msghdr *, int) noexcept nogil
        int (*clock_gettime)(clockid_t, timespec *) noexcept nogil
        int (*standing)(int) noexcept nogil
    struct counted "netio_counters":
        uint64_t sent, send_calls, segmented, segmented_refused, deferred, refused
        uint64_t dropped_unreachable, dropped_denied, dropped_too_long, dropped_other
        uint64_t received, shielded, receive_calls, truncated, turns_cut
    kernel_calls _kernel "netio_kernel"
    counted _counters "netio_counters"

cdef extern from "hooks.h" nogil:
    enum netio_hook_group:
        NETIO_SOCKETS
        NETIO_BATCH
        NETIO_SHIELD
        NETIO_CLOCK
        NETIO_PAGE_LOCK
    const char *netio_install(netio_hook_group group, const void *address)
    netio_owner *netio_owner_new()
    void netio_owner_free(netio_owner *owner)
    netio_owner *netio_enter(netio_owner *owner)
    void netio_leave(netio_owner *owner, netio_owner *previous)
    void netio_flush(netio_owner *owner)
    bint netio_allow_fragments(netio_owner *owner, bint allowed)
    void netio_on_drained(netio_owner *owner, netio_drained *call, void *context)
    bint netio_congested(const netio_owner *owner)
    bint netio_receive_pending(const netio_owner *owner)
    void netio_set_batching(netio_owner *owner, bint batching)
    void netio_set_segmentation(netio_owner *owner, bint segmentation)
    void netio_set_clock_rate(netio_owner *owner, double rate)
    void netio_step_clock(netio_owner *owner, double step_s)
    uint32_t netio_sockets_version(const netio_owner *owner)
    size_t netio_sockets(const netio_owner *owner, netio_socket *out, size_t room)
    int netio_hook_socket(int domain, int type, int protocol)
    int netio_hook_accept(int fd, sockaddr *source, socklen_t *source_length)
    int netio_hook_close(int fd)
    ssize_t netio_hook_sendto(int fd, const void *data, size_t length, int flags,
                              const sockaddr *to, socklen_t to_length)
    ssize_t netio_hook_recvfrom(int fd, void *out, size_t room, int flags, sockaddr *source,
                                socklen_t *source_length)
    int netio_hook_setsockopt(int fd, int level, int option, const void *value, socklen_t length)
    int netio_hook_clock_gettime(clockid_t clock, timespec *out)


# -- for the other compiled modules: see netio.pxd ---------------------------------------------------

cdef netio_owner *owner_new() noexcept nogil:
    return netio_owner_new()


cdef void owner_free(netio_owner *owner) noexcept nogil:
    netio_owner_free(owner)


cdef netio_owner *enter(netio_owner *owner) noexcept nogil:
    return netio_enter(owner)


cdef void leave(netio_owner *owner, netio_owner *previous) noexcept nogil:
    netio_leave(owner, previous)


cdef void flush(netio_owner *owner) noexcept nogil:
    netio_flush(owner)


cdef bint allow_fragments(netio_owner *owner, bint allowed) noexcept nogil:
    return netio_allow_fragments(owner, allowed)


cdef void on_drained(netio_owner *owner, netio_drained *call, void *context) noexcept nogil:
    netio_on_drained(owner, call, context)


cdef bint congested(netio_owner *owner) noexcept nogil:
    return netio_congested(owner)


cdef bint receive_pending(netio_owner *owner) noexcept nogil:
    return netio_receive_pending(owner)


cdef void set_clock_rate(netio_owner *owner, double rate) noexcept nogil:
    netio_set_clock_rate(owner, rate)


cdef void step_clock(netio_owner *owner, double step_s) noexcept nogil:
    netio_step_clock(owner, step_s)


cdef uint32_t sockets_version(netio_owner *owner) noexcept nogil:
    return netio_sockets_version(owner)


cdef list sockets(netio_owner *owner):
    cdef size_t count = netio_sockets(owner, NULL, 0)
    cdef netio_socket *found = <netio_socket *>malloc(max(count, 1) * sizeof(netio_socket))
    if found == NULL:
        raise MemoryError
    try:
        netio_sockets(owner, found, count)
        return [(found[i].fd, bool(found[i].datagram)) for i in range(count)]
    finally:
        free(found)


cdef void set_segmentation(netio_owner *owner, bint segmentation) noexcept nogil:
    netio_set_segmentation(owner, segmentation)


# -- putting the hooks in place ----------------------------------------------------------------------

class Hook(NamedTuple):
    """Whether one group of hooks is in force, and if not, why."""

    in_force: bool
    reason: str


class Hooks(NamedTuple):
    sockets: Hook
    batch: Hook
    clock: Hook
    page_lock: Hook


_NOT_YET = Hook(False, "libtoxcore is not loaded yet")
_hooks = Hooks(_NOT_YET, _NOT_YET, _NOT_YET, _NOT_YET)
_shield = None


cdef object _install(netio_hook_group group, uintptr_t address, str switch, str plain):
    if os.environ.get(switch) == plain:
        return Hook(False, f"{switch}={plain}")
    cdef const char *why = netio_install(group, <const void *>address)
    return Hook(True, "") if why == NULL else Hook(False, why.decode())


def install(address: int, flawed: bool = False) -> Hooks:
    """Put the hooks into the loaded libtoxcore that contains `address`, the address of any of its functions.

    `flawed` says that the library needs the shield. Call it before the first handle is made. It acts once per
    process; later calls only return which hooks are in force.
    """
    global _hooks, _shield
    if _hooks.sockets is not _NOT_YET:
        return _hooks
    sockets = _install(NETIO_SOCKETS, address, "TOXVPN_SOCKETS", "off")
    if sockets.in_force:
        batch = _install(NETIO_BATCH, address, "TOXVPN_UDP_BATCH", "off")
    else:
        batch = Hook(False, f"needs the sockets ({sockets.reason})")
    if flawed:
        _shield = _install(NETIO_SHIELD, address, "TOXVPN_SOCKETS", "off")
    clock = _install(NETIO_CLOCK, address, "TOXVPN_CLOCK", "off")
    page_lock = _install(NETIO_PAGE_LOCK, address, "TOXVPN_PAGE_LOCK", "strict")
    _hooks = Hooks(sockets, batch, clock, page_lock)
    return _hooks


def hooks() -> Hooks:
    """Which hooks are in force, as `toxvpn -V` prints it."""
    return _hooks


def shield() -> Hook | None:
    """Whether the shield is in force; None where this libtoxcore needs none."""
    return _shield


def counters() -> dict[str, int]:
    """What the hooks counted since the process started; kernel.h explains each counter."""
    return dict(_counters)


def harden() -> None:
    """Make the process undumpable: no core file, and no other process of the user may read its memory.

    The program calls it once it holds secrets (prctl(2), PR_SET_DUMPABLE): the scratch memory of packets is
    not locked, so it must not reach the disk in a core dump. As a side effect /proc/self then belongs to root;
    set up a user namespace before, or in another process.
    """
    if prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(errno, os.strerror(errno))


# -- the tests' door ---------------------------------------------------------------------------------

cdef int64_t _test_time_ns = 0
cdef int _test_errors[64]
cdef int _test_error_count = 0
cdef int _test_error_next = 0
cdef kernel_calls _real = _kernel


cdef int _test_clock(clockid_t clock, timespec *out) noexcept nogil:
    out.tv_sec = _test_time_ns // 1000000000
    out.tv_nsec = _test_time_ns % 1000000000
    return 0


cdef ssize_t _test_sendmsg(int fd, const msghdr *message, int flags) noexcept nogil:
    """Fails as told, call by call (0: does not fail), then works again."""
    global _test_error_next
    cdef int error = 0
    if _test_error_next < _test_error_count:
        error = _test_errors[_test_error_next]
        _test_error_next += 1
    if error:
        (&errno)[0] = error
        return -1
    return _real.sendmsg(fd, message, flags)


def real_time_is(ns: int | None) -> None:
    """The hooks' source of time: this many nanoseconds, or the kernel's again."""
    global _test_time_ns
    _kernel.clock_gettime = _real.clock_gettime if ns is None else _test_clock
    _test_time_ns = ns or 0


def sends_fail(errors: list[int]) -> None:
    """The coming sendmsg calls of the hooks fail with these errno values, 0 meaning success."""
    global _test_error_count, _test_error_next
    for index, error in enumerate(errors):
        _test_errors[index] = error
    _test_error_next = 0
    _test_error_count = len(errors)
    _kernel.sendmsg = _test_sendmsg if errors else _real.sendmsg


cdef ssize_t _checked(ssize_t result) except -1:
    if result < 0:
        raise OSError(errno, os.strerror(errno))
    return result


cdef void _count_drained(void *hooked) noexcept nogil:
    with gil:
        (<Hooked>hooked).drained += 1


cdef class Hooked:
    """An owner of its own and the hooks on ordinary descriptors; addresses are raw struct sockaddr bytes."""

    cdef netio_owner *_owner
    cdef netio_owner *_previous
    cdef readonly int drained

    def __cinit__(self, batching: bool = True, segmentation: bool = True) -> None:
        self._owner = netio_owner_new()
        if self._owner == NULL:
            raise MemoryError
        netio_on_drained(self._owner, _count_drained, <void *>self)
        netio_set_batching(self._owner, batching)
        netio_set_segmentation(self._owner, segmentation)

    def __dealloc__(self) -> None:
        netio_owner_free(self._owner)

    def __enter__(self) -> Hooked:
        self._previous = netio_enter(self._owner)
        return self

    def __exit__(self, *exc: object) -> None:
        netio_leave(self._owner, self._previous)

    def socket(self, family: int, kind: int, protocol: int = 0) -> int:
        return _checked(netio_hook_socket(family, kind, protocol))

    def accept(self, fd: int) -> int:
        return _checked(netio_hook_accept(fd, NULL, NULL))

    def close(self, fd: int) -> None:
        _checked(netio_hook_close(fd))

    def set_receive_buffer(self, fd: int, size: int) -> None:
        cdef int value = size
        _checked(netio_hook_setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, sizeof(value)))

    def sendto(self, fd: int, data: bytes, to: bytes, flags: int = 0) -> int:
        cdef const uint8_t *bytes_out = data
        cdef const uint8_t *address = to
        return _checked(netio_hook_sendto(fd, bytes_out, len(data), flags, <const sockaddr *>address, len(to)))

    def recvfrom(self, fd: int, room: int = 65536, flags: int = 0) -> tuple[bytes, bytes]:
        cdef sockaddr_storage source
        cdef socklen_t source_length = sizeof(source)
        data = bytearray(room)
        cdef uint8_t[::1] view = data if room else bytearray(1)
        cdef ssize_t length = _checked(netio_hook_recvfrom(
            fd, &view[0], room, flags, <sockaddr *>&source, &source_length))
        return bytes(data[:length]), PyBytes_FromStringAndSize(<const char *>&source, source_length)

    def clock_ns(self, clock: int = CLOCK_MONOTONIC) -> int:
        cdef timespec now
        _checked(netio_hook_clock_gettime(clock, &now))
        return now.tv_sec * 1000000000 + now.tv_nsec

    def set_clock_rate(self, rate: float) -> None:
        netio_set_clock_rate(self._owner, rate)

    def step_clock(self, step_s: float) -> None:
        netio_step_clock(self._owner, step_s)

    def flush(self) -> None:
        netio_flush(self._owner)

    def allow_fragments(self, allowed: bool) -> bool:
        return netio_allow_fragments(self._owner, allowed)

    def congested(self) -> bool:
        return netio_congested(self._owner)

    def receive_pending(self) -> bool:
        return netio_receive_pending(self._owner)

    def sockets_version(self) -> int:
        return netio_sockets_version(self._owner)

    def sockets(self) -> list[tuple[int, bool]]:
        return sockets(self._owner)
