"""A carrier in memory, in place of a Tox handle."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from .._native.path.carrier cimport Backlog, Carrier, lossy_sink, lossy_flush


cdef class MemoryCarrier(Carrier):
    cdef lossy_sink _sinks[256]
    cdef lossy_flush _flushes[256]
    cdef void *_contexts[256]
    cdef Backlog _backlog
    cdef readonly list sent
    cdef readonly int flushes
    cdef public int result
    cdef public bint is_congested
    cdef public int room
    cdef MemoryCarrier _other
    cdef uint32_t _our_number

    def __cinit__(self):
        self.sent = []
        self.room = -1
        self._backlog = Backlog()

    def join(self, MemoryCarrier other, uint32_t our_number):
        self._other = other
        self._our_number = our_number

    def deliver(self, uint32_t friend_number, bytes packet):
        cdef const uint8_t[::1] view = packet
        if view.shape[0]:
            self._pass_on(friend_number, &view[0], view.shape[0])

    def stop_clock(self, uint64_t at_ns):
        self._backlog.queue.stopped_at_ns = at_ns

    def flush_inbound(self):
        for packet_id in range(256):
            if self._flushes[packet_id] != NULL:
                self._flushes[packet_id](self._contexts[packet_id])

    cdef void _pass_on(self, uint32_t friend_number, const uint8_t *packet, size_t length) noexcept:
        if self._sinks[packet[0]] != NULL:
            self._sinks[packet[0]](self._contexts[packet[0]], friend_number, packet, length)

    cdef int send(self, uint32_t friend_number, const uint8_t *packet, size_t length) noexcept:
        if self.result == 0:
            if self._other is not None:
                self._other._pass_on(self._our_number, packet, length)
            else:
                self.sent.append((friend_number, packet[:length]))
        return self.result

    cdef void flush(self) noexcept:
        self.flushes += 1

    cdef bint congested(self) noexcept:
        return self.is_congested or (self.room >= 0 and len(self.sent) >= self.room)

    cdef bint wants_room(self) noexcept:
        return self.congested() or self._backlog.waits()

    cdef Backlog backlog(self):
        return self._backlog

    cdef void set_sink(self, uint8_t packet_id, lossy_sink sink, lossy_flush flush, void *context) noexcept:
        self._sinks[packet_id] = sink
        self._flushes[packet_id] = flush
        self._contexts[packet_id] = context
