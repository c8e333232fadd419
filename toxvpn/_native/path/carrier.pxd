"""What carries the datapath's packets to a friend and back: a Tox handle, or memory in tests."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

# context, friend number, the custom packet with its ID byte, its length
ctypedef void (*lossy_sink)(void *, uint32_t, const uint8_t *, size_t) noexcept
# context; ends a batch of packets
ctypedef void (*lossy_flush)(void *) noexcept


cdef extern from "backlog.h" nogil:
    struct c_backlog "backlog":
        uint64_t stopped_at_ns
    c_backlog *backlog_new()
    bint backlog_waits(const c_backlog *)


cdef class Backlog:
    """The packets that wait for room, of all datapaths over one handle; empty once those are closed."""

    cdef c_backlog *queue

    cdef bint waits(self) noexcept


cdef class Carrier:
    # A SendResult value. The packet is copied or sent before this returns.
    cdef int send(self, uint32_t friend_number, const uint8_t *packet, size_t length) noexcept
    # Ends a batch of sends.
    cdef void flush(self) noexcept
    # Whether the network takes no more for now.
    cdef bint congested(self) noexcept
    # Whether something waits for room, and nobody watches the socket for it yet.
    cdef bint wants_room(self) noexcept
    cdef Backlog backlog(self)
    # Packets of this ID go to `sink`, and `flush` is called after each batch of them; NULL ends that.
    cdef void set_sink(self, uint8_t packet_id, lossy_sink sink, lossy_flush flush, void *context) noexcept
