"""The network and clock under toxcore, for the other compiled pieces (they may not be linked twice)."""

from libc.stdint cimport uint32_t


cdef extern from "hooks.h":
    ctypedef struct netio_owner:
        pass
    ctypedef struct netio_socket:
        int fd
        bint datagram
    ctypedef void netio_flush_inbound(void *) noexcept


# One owner per Tox handle. Between enter and leave, sockets that libtoxcore makes are the
# owner's, its clock is the owner's, and its datagrams are gathered; leave sends what is gathered
# (the outermost one, when an owner is entered twice).
cdef netio_owner *owner_new() noexcept nogil
cdef void owner_free(netio_owner *owner) noexcept nogil
cdef netio_owner *enter(netio_owner *owner) noexcept nogil
cdef void leave(netio_owner *owner, netio_owner *previous) noexcept nogil
cdef void flush(netio_owner *owner) noexcept nogil
# Whether routers may cut the datagrams from now on; they may, unless told otherwise. Those that they may not
# cut do not wait for room. False: there is none now, and nothing has changed; or there was none for one of those.
cdef bint allow_fragments(netio_owner *owner, bint allowed) noexcept nogil
# `call` is called inside tox_iterate, when a turn has received datagrams and there are no more of them
cdef void on_flush_inbound(netio_owner *owner, netio_flush_inbound *call, void *context) noexcept nogil
# the kernel takes no more for now: stop producing, wait until the socket is writable, then flush
cdef bint congested(netio_owner *owner) noexcept nogil
# datagrams were received but not yet handed out (bounded turns): iterate again soon
cdef bint receive_pending(netio_owner *owner) noexcept nogil
# of the owner's CLOCK_MONOTONIC from now on, never backwards; above 0, at most 100, others are ignored
cdef void set_clock_rate(netio_owner *owner, double rate) noexcept nogil
# the clock goes ahead by so much at once and stands until its own time has come as far; above 0, at most 1 s,
# others are ignored
cdef void step_clock(netio_owner *owner, double step_s) noexcept nogil
# changes whenever the list of sockets does
cdef uint32_t sockets_version(netio_owner *owner) noexcept nogil
# all of them, as (descriptor, whether it is for datagrams)
cdef list sockets(netio_owner *owner)
# whether sockets that are made from now on may send with UDP_SEGMENT
cdef void set_segmentation(netio_owner *owner, bint segmentation) noexcept nogil
