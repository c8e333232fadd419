"""C files of _native by themselves, compiled into this module: prefixes.c, policy.c, flowqueue.c, checksum.c,
sendroom.c.

Times are what the caller says; the items of a queue are numbers.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc

from .._native.path.datapath cimport (
    OURSELVES, c_policy, policy_judge, policy_rule, policy_rules, prefixes, prefixes_free, prefixes_get,
    prefixes_lookup, prefixes_remove, prefixes_set
)


cdef extern from "<stdbool.h>" nogil:
    ctypedef bint c_bool "bool"

cdef extern from "flowqueue.h" nogil:
    struct queued:
        queued *next
        size_t bytes
        size_t held
    struct flowqueue:
        size_t held
    void flowqueue_put(flowqueue *, uint32_t, queued *, uint64_t)
    queued *flowqueue_next(flowqueue *, uint64_t, c_bool *)
    void flowqueue_sent(flowqueue *, size_t)
    void flowqueue_dropped(flowqueue *, size_t)
    queued *flowqueue_shed(flowqueue *)
    queued *flowqueue_remove(flowqueue *, c_bool (*)(const queued *, const void *) noexcept nogil, const void *)

cdef extern from "packet.h" nogil:
    struct c_packet "packet":
        pass
    c_bool packet_parse(c_packet *, uint8_t *, size_t, c_bool)

cdef extern from "policy.h" nogil:
    c_policy *policy_new(const prefixes *)
    void policy_free(c_policy *)
    void policy_set_rules(c_policy *, policy_rule *, size_t)
    c_bool policy_inbound(c_policy *, const c_packet *, uint32_t)
    void policy_outbound(c_policy *, const c_packet *, uint32_t)

cdef extern from "sendroom.h" nogil:
    struct sendroom:
        size_t limit
        c_bool measured
    void sendroom_start(sendroom *, size_t)
    void sendroom_before_send(sendroom *, size_t, int64_t)
    void sendroom_refused(sendroom *, size_t, int64_t)
    c_bool sendroom_sent(sendroom *, size_t, int64_t)
    void sendroom_after_send(sendroom *, size_t, int64_t)
    size_t sendroom_batch_bytes(const sendroom *)

cdef extern from "checksum.h" nogil:
    c_bool csum_has_vectors
    uint64_t csum_bytes(const uint8_t *, size_t)
    uint64_t csum_copy(uint8_t *, const uint8_t *, size_t)
    uint16_t csum_fold(uint64_t)


def checksum(const uint8_t[::1] data):
    return csum_fold(csum_bytes(&data[0], data.shape[0]))


def copy_checksum(uint8_t[::1] out, const uint8_t[::1] data):
    return csum_fold(csum_copy(&out[0], &data[0], data.shape[0]))


def has_vectors():
    return bool(csum_has_vectors)


cdef class PrefixTable:
    cdef prefixes _table

    def __dealloc__(self):
        prefixes_free(&self._table)

    def __len__(self):
        return self._table.many

    def set(self, network, uint32_t value, uint32_t scope=0):
        cdef bytes packed = network.network_address.packed
        if not prefixes_set(&self._table, network.version, packed, network.prefixlen, scope, value):
            raise MemoryError

    def remove(self, network, uint32_t scope=0):
        cdef bytes packed = network.network_address.packed
        return bool(prefixes_remove(&self._table, network.version, packed, network.prefixlen, scope))

    def get(self, network, uint32_t scope=0):
        cdef bytes packed = network.network_address.packed
        cdef uint32_t value
        if prefixes_get(&self._table, network.version, packed, network.prefixlen, scope, &value):
            return value
        return None

    def lookup(self, address, uint32_t scope=0):
        cdef bytes packed = address.packed
        cdef uint32_t value
        if prefixes_lookup(&self._table, address.version, packed, scope, &value):
            return value
        return None


cdef class Filter:
    cdef prefixes _sources
    cdef c_policy *_policy

    def __init__(self, here, rules=()):
        cdef bytes packed
        for address in here:
            packed = address.packed
            if not prefixes_set(&self._sources, address.version, packed, address.max_prefixlen, 0, OURSELVES):
                raise MemoryError
        self._policy = policy_new(&self._sources)
        if self._policy == NULL:
            raise MemoryError
        self.set_rules(rules)

    def __dealloc__(self):
        policy_free(self._policy)
        prefixes_free(&self._sources)

    def set_rules(self, rules):
        cdef list wanted = list(rules)
        policy_set_rules(self._policy, policy_rules(wanted), len(wanted))

    def judge(self, destination, uint8_t protocol, uint16_t port=0):
        cdef bytes packed = destination.packed
        index = policy_judge(self._policy, destination.version, packed, protocol, port)
        return None if index < 0 else index

    def inbound(self, bytes packet, uint32_t now_s):
        cdef c_packet parsed
        if not packet_parse(&parsed, packet, len(packet), True):
            raise ValueError("malformed")
        return bool(policy_inbound(self._policy, &parsed, now_s))

    def outbound(self, bytes packet, uint32_t now_s):
        cdef c_packet parsed
        if not packet_parse(&parsed, packet, len(packet), True):
            raise ValueError("malformed")
        policy_outbound(self._policy, &parsed, now_s)


cdef struct numbered:
    queued queued
    int64_t number


cdef c_bool _is_number(const queued *item, const void *number) noexcept nogil:
    return (<const numbered *>item).number == (<const int64_t *>number)[0]


cdef class FlowQueue:
    cdef flowqueue *_queue
    cdef queued *_current

    def __cinit__(self):
        self._queue = <flowqueue *>calloc(1, sizeof(flowqueue))
        if self._queue == NULL:
            raise MemoryError

    def __dealloc__(self):
        if self._queue != NULL:
            while self.shed() is not None:
                pass
            free(self._queue)

    def put(self, uint32_t flow, int64_t item, size_t size, uint64_t now_ns, *, size_t held=1):
        cdef numbered *made = <numbered *>malloc(sizeof(numbered))
        if made == NULL:
            raise MemoryError
        made.number = item
        made.queued.bytes = size
        made.queued.held = held
        flowqueue_put(self._queue, flow, &made.queued, now_ns)

    def next(self, uint64_t now_ns):
        cdef c_bool late = False
        self._current = flowqueue_next(self._queue, now_ns, &late)
        return None if self._current == NULL else ((<numbered *>self._current).number, bool(late))

    cdef _gone(self, size_t size, void (*how)(flowqueue *, size_t)):
        if self._current == NULL or not 0 < size <= self._current.bytes:
            raise ValueError("no such piece")
        cdef bint whole = size == self._current.bytes
        how(self._queue, size)
        if whole:
            free(self._current)
        self._current = NULL

    def took(self, size_t size):
        self._gone(size, flowqueue_sent)

    def dropped(self, size_t size):
        self._gone(size, flowqueue_dropped)

    def shed(self):
        cdef queued *item = flowqueue_shed(self._queue)
        if item == NULL:
            return None
        number = (<numbered *>item).number
        free(item)
        return number

    def remove(self, int64_t item):
        cdef queued *next
        cdef queued *removed = flowqueue_remove(self._queue, _is_number, &item)
        found = removed != NULL
        while removed != NULL:
            next = removed.next
            free(removed)
            removed = next
        return found

    @property
    def held(self):
        return self._queue.held


cdef class SendRoom:
    cdef sendroom _room

    def __cinit__(self, size_t ceiling):
        sendroom_start(&self._room, ceiling)

    def before(self, size_t standing, int64_t now_ns):
        if self._room.measured:
            sendroom_before_send(&self._room, standing, now_ns)

    def refused(self, size_t standing, int64_t now_ns):
        sendroom_refused(&self._room, standing, now_ns)

    def sent(self, size_t size, size_t standing, int64_t now_ns):
        if sendroom_sent(&self._room, size, now_ns):
            sendroom_after_send(&self._room, standing, now_ns)

    @property
    def limit(self):
        return self._room.limit

    @property
    def piece(self):
        return sendroom_batch_bytes(&self._room)
