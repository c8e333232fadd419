"""Carriers of lossy packets: the interface that the datapath sends through."""

from libc.stdlib cimport free


cdef class Backlog:
    def __cinit__(self):
        self.queue = backlog_new()
        if self.queue == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.queue)

    cdef bint waits(self) noexcept:
        return backlog_waits(self.queue)


cdef class Carrier:
    cdef int send(self, uint32_t friend_number, const uint8_t *packet, size_t length) noexcept:
        return 0

    cdef void flush(self) noexcept:
        pass

    cdef bint congested(self) noexcept:
        return False

    cdef bint wants_room(self) noexcept:
        return False

    cdef Backlog backlog(self):
        return None

    cdef void set_sink(self, uint8_t packet_id, lossy_sink sink, lossy_flush flush, void *context) noexcept:
        pass
