"""What a selector serves itself, in compiled code, when a descriptor is ready."""


cdef class Early:
    # The descriptor is readable. False: the event loop is to hear of it too.
    cdef bint serve(self) noexcept
