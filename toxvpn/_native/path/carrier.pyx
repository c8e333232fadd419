"""Carriers of lossy packets: the interface that the datapath sends through, and one in memory for tests."""

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

    cdef void set_sink(self, uint8_t packet_id, lossy_sink sink, sink_flush flush, void *context) noexcept:
        pass


cdef class MemoryCarrier(Carrier):
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
        self._backlog.queue.tests_ns = at_ns

    def end_round(self):
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

    cdef void set_sink(self, uint8_t packet_id, lossy_sink sink, sink_flush flush, void *context) noexcept:
        self._sinks[packet_id] = sink
        self._flushes[packet_id] = flush
        self._contexts[packet_id] = context
