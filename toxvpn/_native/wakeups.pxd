"""The interface of what a selector serves itself, in compiled code, when a descriptor is ready."""


cdef class Early:
    # Called when the descriptor is readable. Returns False when the event loop must be told as well.
    cdef bint serve(self) noexcept
