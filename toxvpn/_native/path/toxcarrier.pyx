"""Lossy packets over a Tox handle."""

from libc.stdint cimport uint8_t, uint32_t

cimport cython

from .carrier cimport Backlog, Carrier, lossy_sink, lossy_flush
from ..toxcore cimport Tox


@cython.no_gc_clear  # a datapath that dies in the same cycle takes its sink out through it
cdef class ToxCarrier(Carrier):
    cdef Tox _tox

    def __cinit__(self, Tox tox not None):
        self._tox = tox

    cdef int send(self, uint32_t friend_number, const uint8_t *packet, size_t length) noexcept:
        return self._tox.send_lossy_raw(friend_number, packet, length)

    cdef void flush(self) noexcept:
        self._tox.flush_lossy()

    cdef bint congested(self) noexcept:
        return self._tox.is_congested()

    cdef bint wants_room(self) noexcept:
        return self._tox.is_wanting_room()

    cdef Backlog backlog(self):
        return self._tox.backlog

    cdef void set_sink(self, uint8_t packet_id, lossy_sink sink, lossy_flush flush, void *context) noexcept:
        self._tox.set_lossy_sink(packet_id, sink, flush, context)
