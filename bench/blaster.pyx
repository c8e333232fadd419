# cython: language_level=3
"""Sends and counts lossy packets at full speed over a Tox handle, without Python per packet."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from toxvpn._native.toxcore cimport Tox

cdef enum:
    PACKET_ID = 200
    LARGEST = 1373
    BATCH = 64


cdef extern from "<poll.h>":
    struct pollfd:
        int fd
        short events
        short revents
    int POLLOUT
    int poll(pollfd *, unsigned long, int) nogil


cdef double _now() noexcept:
    cdef timespec time
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec + time.tv_nsec * 1e-9


cdef class Blaster:
    cdef Tox _tox
    cdef uint64_t _packets
    cdef double _first_s
    cdef double _last_s

    def __init__(self, Tox tox not None):
        self._tox = tox
        tox.set_lossy_sink(PACKET_ID, _count, NULL, <void *>self)

    def blast(self, uint32_t friend, size_t size, double seconds, int udp_fd):
        if not 1 <= size <= LARGEST:
            raise ValueError(f"{size} is no size of a custom packet")
        return self.spray(friend, [bytes([PACKET_ID]) + bytes(size - 1)], seconds, udp_fd)

    def spray(self, uint32_t friend, list packets, double seconds, int udp_fd):
        cdef uint64_t sent = 0
        cdef size_t at = 0, count = len(packets)
        cdef double end = _now() + seconds, iterated = 0
        cdef pollfd writable
        cdef bytes packet
        writable.fd, writable.events = udp_fd, POLLOUT
        while _now() < end:
            for _ in range(BATCH):
                packet = packets[at]
                at = at + 1 if at + 1 < count else 0
                sent += self._tox.send_lossy_raw(
                    friend, <const uint8_t *>PyBytes_AS_STRING(packet), PyBytes_GET_SIZE(packet)) == 0
            self._tox.flush_lossy()
            if self._tox.is_congested():
                poll(&writable, 1, 10)
                iterated = 0
            if _now() - iterated > 0.01:
                self._tox.iterate()
                iterated = _now()
        return sent

    def take(self):
        packets, self._packets = self._packets, 0
        return packets, self._last_s - self._first_s


cdef void _count(void *context, uint32_t friend, const uint8_t *data, size_t length) noexcept:
    cdef Blaster self = <Blaster>context
    self._last_s = _now()
    if self._packets == 0:
        self._first_s = self._last_s
    self._packets += 1
