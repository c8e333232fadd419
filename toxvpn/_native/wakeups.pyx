"""An epoll selector for asyncio that serves the packet path without running any Python.

A processor that has slept runs Python from cold caches: 0.1 ms and more from epoll_wait(2) through the event
loop to a callback and back. Packets do not wait for that, and do not pay for it under load: what is
registered with `serve_early` is served inside `select`, and the event loop is told only of everything else.
"""

import os
import selectors
import time

from cpython.exc cimport PyErr_CheckSignals
from libc.errno cimport EINTR, errno
from libc.math cimport ceil
from libc.stdint cimport uint32_t


cdef extern from "<sys/epoll.h>" nogil:
    enum:
        EPOLLIN
        EPOLLOUT
        EPOLLET
        EPOLL_CLOEXEC
        EPOLL_CTL_ADD
    ctypedef union epoll_data_t:
        int fd
    struct epoll_event:
        uint32_t events
        epoll_data_t data
    int epoll_create1(int)
    int epoll_ctl(int, int, int, epoll_event *)
    int epoll_wait(int, epoll_event *, int, int)

cdef extern from "<unistd.h>" nogil:
    int c_close "close"(int)

cdef enum:
    AT_ONCE = 64  # more ready descriptors are returned by the next call

cdef int READ = selectors.EVENT_READ
cdef int WRITE = selectors.EVENT_WRITE
cdef int LONGEST_MS = 24 * 3600 * 1000


cdef class Early:
    cdef bint serve(self) noexcept:
        return False


cdef _fail():
    raise OSError(errno, os.strerror(errno))


class Selector(selectors.EpollSelector):
    def __init__(self):
        super().__init__()
        self._early = {}

    def serve_early(self, fd, early):
        if early is None:
            self._early.pop(fd, None)
        else:
            self._early[fd] = early

    def select(self, timeout=None):
        cdef double until = 0
        cdef int wait_ms = _wait_ms(timeout)
        if wait_ms > 0:
            until = time.monotonic() + timeout
        while True:
            happened, ready = _once(self.fileno(), wait_ms, self.get_map(), self._early)
            if ready or not happened or wait_ms == 0:
                return ready
            if wait_ms > 0:
                wait_ms = _wait_ms(until - time.monotonic())


cdef int _wait_ms(timeout) except -2:
    """The time-out for epoll_wait(2), rounded up, or the loop would wake too early and then again."""
    if timeout is None:
        return -1
    return 0 if timeout <= 0 else <int>min(ceil(<double>timeout * 1000), <double>LONGEST_MS)


cdef tuple _once(int epoll, int wait_ms, keys, dict early):
    """Wait once. Return whether anything happened, and the events that the loop must be told of."""
    cdef epoll_event events[AT_ONCE]
    cdef int many, i
    with nogil:
        many = epoll_wait(epoll, events, AT_ONCE, wait_ms)
    if many < 0:
        if errno != EINTR:
            _fail()
        PyErr_CheckSignals()  # runs the handlers of signals; then go on waiting (PEP 475)
        return True, []
    cdef list ready = []
    for i in range(many):
        if not _served(&events[i], early):
            key = keys.get(events[i].data.fd)
            if key is not None:
                ready.append((key, key.events & _mask(events[i].events)))
    return many > 0, ready


cdef bint _served(epoll_event *event, dict early):
    if event.events != EPOLLIN:
        return False
    found = early.get(event.data.fd)
    return found is not None and (<Early>found).serve()


cdef int _mask(uint32_t events) noexcept:
    """The events in terms of `selectors`; an error or a hang-up counts as readable and writable."""
    return (READ if events & ~EPOLLOUT else 0) | (WRITE if events & ~EPOLLIN else 0)


cdef class Arrivals(Early):
    cdef int _epoll
    cdef object _tox
    cdef object _failure
    cdef bint _turned

    def __cinit__(self):
        self._epoll = -1

    def __init__(self, tox):
        self._tox = tox
        self._epoll = epoll_create1(EPOLL_CLOEXEC)
        if self._epoll < 0:
            _fail()

    def __dealloc__(self):
        self.close()

    def add(self, int fd, bint stream=False):
        cdef epoll_event event
        event.events = EPOLLIN | EPOLLET | (EPOLLOUT if stream else 0)
        event.data.fd = fd
        if epoll_ctl(self._epoll, EPOLL_CTL_ADD, fd, &event) < 0:
            _fail()

    def fileno(self):
        return self._epoll

    def close(self):
        if self._epoll >= 0:
            c_close(self._epoll)
        self._epoll = -1

    cdef bint serve(self) noexcept:
        cdef epoll_event events[AT_ONCE]
        epoll_wait(self._epoll, events, AT_ONCE, 0)  # before the turn: whatever arrives later wakes again
        try:
            self._tox.iterate()
            self._turned = not self._tox.quiet
        except BaseException as failure:
            self._failure = failure
            self._turned = True
        return not self._turned

    def turn(self):
        if not self._turned:
            self.serve()
        self._turned = False
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
