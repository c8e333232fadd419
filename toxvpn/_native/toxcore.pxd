"""What the compiled packet path needs of a Tox handle."""

from libc.stdint cimport uint8_t, uint32_t

# context, friend number, the custom packet with its ID byte, its length
ctypedef void (*lossy_sink)(void *, uint32_t, const uint8_t *, size_t) noexcept


cdef class Tox:
    cdef void *_tox                  # struct Tox *, NULL once closed
    cdef void *_owner                # netio_owner *
    cdef void *_previous             # netio_owner * that was current before ours
    cdef lossy_sink _sinks[256]
    cdef void *_sink_contexts[256]
    cdef object _handler
    cdef object _first_error
    cdef bint _iterating

    # A SendResult value. Gathers: the caller ends its batch with flush_lossy().
    cdef int send_lossy_raw(self, uint32_t friend_number, const uint8_t *data, size_t length) noexcept
    cdef void flush_lossy(self) noexcept
    cdef bint is_congested(self) noexcept
    # Lossy packets of this ID go to `sink` instead of the handler; NULL gives them back.
    cdef void set_lossy_sink(self, uint8_t packet_id, lossy_sink sink, void *context) noexcept
