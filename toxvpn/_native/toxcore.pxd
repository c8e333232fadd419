"""The Tox handle, for the compiled packet path."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from .capi cimport CTox, CToxOptions
from .path.carrier cimport Backlog
from .net.netio cimport netio_owner

# context, friend number, the custom packet with its ID byte, its length
ctypedef void (*lossy_sink)(void *, uint32_t, const uint8_t *, size_t) noexcept
# context; ends a batch of packets
ctypedef void (*lossy_flush)(void *) noexcept


cdef class Tox:
    cdef CTox *_tox                  # NULL once closed
    cdef netio_owner *_owner
    cdef netio_owner *_previous      # the owner that was current before begin()
    cdef int _depth                  # open begin() calls
    cdef bint _gathering             # a lossy batch is open
    cdef unsigned _since_detours     # packets since detours were last served
    cdef bint _iterating
    cdef bint _handler_called                  # the handler was called since the last iterate began
    cdef uint32_t _sockets_seen      # sockets_version when they were last asked for
    cdef bint _close_asked           # close() came from inside a callback
    cdef lossy_sink _lossy_sinks[256]
    cdef lossy_flush _lossy_flushes[256]
    cdef void *_lossy_contexts[256]
    cdef bint _accepted[256]           # IDs of custom packets that go to the handler
    cdef readonly uint64_t unaccepted_packets
    cdef object _first_error
    cdef object _log
    cdef list _made_keys             # public ones, made with the handle
    cdef Backlog backlog             # of the datapaths
    cdef public bint room_asked
    cdef public object handler

    cdef _create(self, CToxOptions *c_options, options, savedata)
    cdef _set_callbacks(self)
    cdef _kill(self)
    cdef _reach(self, str host, uint16_t port, bytes public_key, bint relay)
    cdef keep(self, failure)
    cdef bint _is_accepted(self, const uint8_t *data, size_t length) noexcept

    cdef _notice_nap(self)
    cdef void begin(self) noexcept
    cdef void end(self) noexcept
    cdef int alive(self) except -1

    # Returns a SendResult value. Gathers packets: the caller ends its batch with flush_lossy().
    cdef int send_lossy_raw(self, uint32_t friend_number, const uint8_t *data, size_t length) noexcept
    cdef void flush_lossy(self) noexcept
    cdef void send_detours(self) noexcept
    cdef void relay(self, uint32_t number, const uint8_t *packet, size_t length) noexcept
    cdef void flush_inbound(self) noexcept
    cdef bint is_congested(self) noexcept
    cdef bint is_wanting_room(self) noexcept
    # Lossy packets of this ID go to `sink` instead of the handler, and `flush` is called at the end of each
    # batch of them; NULL gives them back to the handler.
    cdef void set_lossy_sink(self, uint8_t packet_id, lossy_sink sink, lossy_flush flush, void *context) noexcept
