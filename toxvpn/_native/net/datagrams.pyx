"""Reads the datagrams of UDP sockets in batches (gather.c), for relays whose every datagram passes Python."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy

import socket

cdef extern from "<netinet/in.h>" nogil:
    cdef struct in6_addr:
        uint8_t s6_addr[16]
    cdef struct in_addr:
        uint32_t s_addr
    cdef struct sockaddr_in:
        uint16_t sin_port
        in_addr sin_addr
    cdef struct sockaddr_in6:
        uint16_t sin6_port
        uint32_t sin6_flowinfo
        in6_addr sin6_addr
        uint32_t sin6_scope_id
    uint16_t ntohs(uint16_t value)
    uint32_t ntohl(uint32_t value)
    int AF_INET, AF_INET6

cdef extern from "<sys/socket.h>" nogil:
    cdef struct sockaddr_storage:
        int ss_family

cdef extern from "gather.h" nogil:
    enum: GATHER_BUFFER
    enum: GATHER_BATCHES
    cdef struct gathered:
        size_t start, length, segment
        sockaddr_storage address "from"
        int level, type
        size_t control_length
        uint8_t control[20]
    size_t gather(int fd, uint8_t *buffer, gathered *batches, int *error)


cdef tuple _address(const sockaddr_storage *of):
    """As the socket module has it; empty for a family that is not IP's."""
    cdef const sockaddr_in *ipv4 = <const sockaddr_in *>of
    cdef const sockaddr_in6 *ipv6 = <const sockaddr_in6 *>of
    if of.ss_family == AF_INET:
        host = socket.inet_ntop(AF_INET, (<const uint8_t *>&ipv4.sin_addr)[:4])
        return host, ntohs(ipv4.sin_port)
    if of.ss_family == AF_INET6:
        host = socket.inet_ntop(AF_INET6, (<const uint8_t *>&ipv6.sin6_addr)[:16])
        return host, ntohs(ipv6.sin6_port), ntohl(ipv6.sin6_flowinfo), ipv6.sin6_scope_id
    return ()


cdef class Gatherer:
    """Owns the buffer, `view`, in which the batches of the last `read` are."""

    cdef bytearray _bytes
    cdef readonly object view
    cdef gathered _batches[GATHER_BATCHES]

    def __cinit__(self):
        self._bytes = bytearray(GATHER_BUFFER)
        self.view = memoryview(self._bytes)  # and as long as there is one, the bytes stay where they are

    def read(self, int fd):
        """Batches, and the errno of the read that ended it: EAGAIN when nothing is left, 0 if more may be.

        A batch is (start, bytes, bytes of each datagram but the last, source, control data for an answer).
        """
        cdef int error
        cdef size_t i
        cdef gathered *each
        cdef size_t count = gather(fd, <uint8_t *><char *>self._bytes, self._batches, &error)
        found = []
        for i in range(count):
            each = &self._batches[i]
            control = ()
            if each.control_length:
                control = ((each.level, each.type, (<const uint8_t *>&each.control[0])[:each.control_length]),)
            found.append((each.start, each.length, each.segment, _address(&each.address), control))
        return found, error
