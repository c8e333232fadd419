"""Hooks under libtoxcore: the network, clock, page locks and encryption that it uses, replaced by ours.

`install` points libtoxcore's own import entries for some functions of the C library and of libsodium at
functions of ours. There are eleven groups of hooks; each is in force or not by itself:

- sockets: tells exactly which sockets are libtoxcore's (socket, accept, close), and connects to a
  relay at the other of its two addresses where there is no way to the one (connect)
- batch: sends and receives many UDP datagrams per system call (sendto, recvfrom), and gets the receive buffer
  that libtoxcore asks for (setsockopt, when privileged); needs `sockets`
- streams: sends and receives many packets of TCP connections per system call, to relays and as a relay (send,
  recv, ioctl); needs `sockets`
- clock: a handle's clock can run faster for a while, or in steps (clock_gettime)
- page_lock: caches of keys stay locked in memory, the scratch memory of each packet does not (sodium_mlock,
  sodium_munlock)
- scratch: what a packet's scratch memory was is lent to the next one, and wiped when the turn is over (malloc,
  free, sodium_memzero); with `page_lock`, as its calls tell which memory is scratch
- crypto: packets are encrypted and decrypted by wide vectors (crypto_box_afternm, crypto_box_open_afternm), where this
  processor has those and they agree with libsodium (../crypto)
- reunion: a handle can be told where a friend is that it has met before
  (crypto_scalarmult_curve25519_base, crypto_box_keypair)
- detour: datagrams to a peer can take the way of a common friend (detour.h); needs `batch`, and has no imports of its own

- quick: of several relays to a friend, one of a peer carries the packets; with `streams` and `crypto`, whose functions
  it uses
- punch: a handle tells where DHT nodes see its friends, and has a socket more for a peer behind a router that changes
  ports; with `batch` and `crypto`, whose functions it uses

A libtoxcore of a version with a flaw that a stranger's datagrams can reach (flaws.py) gets one group more, the
shield, which drops the datagrams that would harm it (recvfrom).

Where a group is not in force, libtoxcore works without it. These environment variables switch groups off:
TOXVPN_SOCKETS=off (also batch, streams and shield), TOXVPN_UDP_BATCH=off (also detour), TOXVPN_STREAMS=off,
TOXVPN_CLOCK=off (the rate is always 1), TOXVPN_PAGE_LOCK=strict (every scratch buffer is locked, about half the
speed), TOXVPN_SCRATCH=off, TOXVPN_CRYPTO=off (libsodium encrypts), TOXVPN_REUNION=off,
TOXVPN_DETOUR=off, TOXVPN_PUNCH=off, TOXVPN_QUICK=off.

Neighbours: toxcore.pyx enters and leaves an owner around each call into libtoxcore; the C files are owner.c,
sockets.c, hooks.c, streamhooks.c, clock.c, kernel.c, install.c, sendbatch.c, sendroom.c, recvbatch.c, fairshare.c,
streambuf.c, sightings.c, overheard.c, early.c, doors.c, twins.c, nat64.c, quick.c, introduce.c, inject.c,
sieve.c, detour.c, pagelock.c, scratch.c, importpatch.c.
"""

import os
from typing import NamedTuple

from libc.errno cimport errno
from .netio cimport netio_flush_inbound

from libc.stdlib cimport free, malloc
from libc.string cimport memset
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t, uintptr_t


cdef extern from "<sys/prctl.h>" nogil:
    int PR_SET_DUMPABLE
    int prctl(int option, unsigned long value, unsigned long, unsigned long, unsigned long)

cdef extern from "<netinet/in.h>" nogil:
    struct sockaddr_in6:
        pass

cdef extern from "kernel.h":
    struct counted "netio_counters":
        uint64_t sent, send_calls, segmented, segmented_refused, deferred, refused
        uint64_t dropped_unreachable, dropped_denied, dropped_too_long, dropped_other
        uint64_t received, shielded, receive_calls, truncated, unfair, turns_cut
        uint64_t stream_sent, stream_send_calls, stream_refused, stream_received, stream_receive_calls
    counted _counters "netio_counters"

cdef extern from "hooks.h" nogil:
    enum netio_hook_group:
        NETIO_SOCKETS
        NETIO_BATCH
        NETIO_STREAMS
        NETIO_SHIELD
        NETIO_CLOCK
        NETIO_PAGE_LOCK
        NETIO_SCRATCH
        NETIO_CRYPTO
        NETIO_REUNION
        NETIO_DETOUR
    const char *netio_install(netio_hook_group group, const void *address)
    netio_owner *netio_owner_new()
    void netio_owner_free(netio_owner *owner)
    netio_owner *netio_enter(netio_owner *owner)
    void netio_leave(netio_owner *owner, netio_owner *previous)
    void netio_flush(netio_owner *owner)
    bint netio_allow_fragments(netio_owner *owner, bint allowed)
    void netio_on_flush_inbound(netio_owner *owner, netio_flush_inbound *call, void *context)
    bint netio_congested(const netio_owner *owner)
    bint netio_streams_held(const netio_owner *owner)
    bint netio_receive_pending(const netio_owner *owner)
    void netio_set_segmentation(netio_owner *owner, bint segmentation)
    void netio_set_mark(netio_owner *owner, uint32_t mark)
    void netio_set_clock_rate(netio_owner *owner, double rate)
    void netio_step_clock(netio_owner *owner, double step_s)
    void netio_jump_clock(netio_owner *owner, double jump_s)
    double netio_passed_s(netio_owner *owner)
    struct sockaddr_storage:
        unsigned short ss_family
    unsigned netio_source(const netio_owner *owner, sockaddr_storage *out)
    struct sightings:
        bint any
    sightings *netio_sightings(netio_owner *owner)
    struct overheard:
        pass
    overheard *netio_overheard(netio_owner *owner)
    void netio_overhear()
    bint netio_open_door(netio_owner *owner, int fd, const char *host, unsigned short port)
    void netio_close_door(netio_owner *owner, int fd)
    uint32_t netio_answers(const netio_owner *owner)
    bint netio_know_twin(netio_owner *owner, const char *ipv4, const char *ipv6)
    bint netio_set_nat64(netio_owner *owner, const char *prefix)
    void netio_rank_relay(netio_owner *owner, int fd, bint quick)
    void netio_begin_call(netio_owner *owner)
    bint netio_end_call(netio_owner *owner)
    size_t netio_announce_again(netio_owner *owner)
    uint32_t netio_sockets_version(const netio_owner *owner)
    size_t netio_sockets(const netio_owner *owner, netio_socket *out, size_t room)

cdef extern from "kernel.h" nogil:
    int64_t netio_now_ns()

cdef extern from "inject.h" nogil:
    struct inject:
        pass

cdef extern from "detour.h" nogil:
    enum:
        DETOUR_LONGEST_PACKET
        DETOUR_MEMBERS
        DETOUR_SLOTS
    struct detours:
        pass
    struct c_detour_traffic "detour_traffic":
        uint64_t sent, received, asked
        int64_t sent_ns, received_ns
    struct c_detour_counters "detour_counters":
        uint64_t relayed, relay_refused, relay_no_room, unknown, malformed, filtered, no_room, nested, too_long
    c_detour_counters _detour_counters "detour_counters"
    void detour_set(detours *all, unsigned slot, uint32_t via, uint8_t index, const uint8_t *dht_key)
    void detour_clear(detours *all, unsigned slot)
    void detour_open(detours *all, unsigned slot, int64_t until_ns)
    void detour_straighten(detours *all, unsigned slot, const sockaddr_in6 *to, int64_t until_ns)
    void detour_address(const detours *all, unsigned slot, sockaddr_in6 *out)
    c_detour_traffic c_traffic "detour_traffic"(const detours *all, unsigned slot)
    bint c_waits "detour_waits"(const detours *all)
    size_t c_next "detour_next"(detours *all, uint32_t *via, uint8_t *packet)
    void detours_close(detours *all, bint closed)
    void detour_arrived(detours *all, uint32_t via, const uint8_t *packet, size_t length, int64_t now_ns,
                        inject **inbox)
    void detour_relay_for(detours *all, const uint32_t *numbers, const uint8_t *indices, size_t count)
    bint detour_is_onward(const uint8_t *packet, size_t length)
    bint detour_is_whole(const uint8_t *packet)
    bint c_relay "detour_relay"(const detours *all, uint32_t from_, const uint8_t *packet, size_t length,
                                uint32_t *to, uint8_t *out)

cdef extern from "hooks.h" nogil:
    detours *netio_detours(netio_owner *owner, bint make)
    inject **netio_inbox(netio_owner *owner)

cdef extern from "boxhook.h" nogil:
    const char *boxhook_kernel()

cdef extern from "sightings.h" nogil:
    bint sightings_watch(sightings *sightings, const unsigned char *key)
    void sightings_forget(sightings *sightings, const unsigned char *key)
    bint sightings_take(sightings *sightings, unsigned char *key, sockaddr_storage *out)
    enum:
        SIGHTINGS_HOST_BYTES
    unsigned short sightings_place(const sockaddr_storage *at, char *host)
    bint sightings_at(const char *host, unsigned short port, sockaddr_in6 *out)

cdef extern from "overheard.h" nogil:
    struct sockaddr_in:
        pass
    struct heard:
        unsigned char key[32]
        sockaddr_in at
        sockaddr_storage teller
    bint overheard_take(overheard *overheard, heard *out)

cdef extern from "introduce.h" nogil:
    enum:
        INTRODUCE_KEY_BYTES
        INTRODUCE_MOST_KEYS
        INTRODUCE_MOST_CONTENT
        INTRODUCE_OVERHEAD
    void introduce_begin_keys()
    size_t introduce_end_keys(unsigned char (*keys)[INTRODUCE_KEY_BYTES])
    size_t introduce(unsigned char *out, const unsigned char *onion_key, const unsigned char *own_secret,
                     const unsigned char *friend_key, const unsigned char *content, size_t length)


# -- for the other compiled modules: see netio.pxd ---------------------------------------------------

cdef netio_owner *owner_new() noexcept nogil:
    return netio_owner_new()


cdef void owner_free(netio_owner *owner) noexcept nogil:
    netio_owner_free(owner)


cdef netio_owner *enter(netio_owner *owner) noexcept nogil:
    return netio_enter(owner)


cdef void leave(netio_owner *owner, netio_owner *previous) noexcept nogil:
    netio_leave(owner, previous)


cdef void flush(netio_owner *owner) noexcept nogil:
    netio_flush(owner)


cdef bint allow_fragments(netio_owner *owner, bint allowed) noexcept nogil:
    return netio_allow_fragments(owner, allowed)


cdef void on_flush_inbound(netio_owner *owner, netio_flush_inbound *call, void *context) noexcept nogil:
    netio_on_flush_inbound(owner, call, context)


cdef bint congested(netio_owner *owner) noexcept nogil:
    return netio_congested(owner)


cdef bint streams_held(netio_owner *owner) noexcept nogil:
    return netio_streams_held(owner)


cdef bint receive_pending(netio_owner *owner) noexcept nogil:
    return netio_receive_pending(owner)


cdef void set_clock_rate(netio_owner *owner, double rate) noexcept nogil:
    netio_set_clock_rate(owner, rate)


cdef void step_clock(netio_owner *owner, double step_s) noexcept nogil:
    netio_step_clock(owner, step_s)


cdef void jump_clock(netio_owner *owner, double jump_s) noexcept nogil:
    netio_jump_clock(owner, jump_s)


cdef double passed_s(netio_owner *owner) noexcept nogil:
    return netio_passed_s(owner)


cdef object _place(const sockaddr_storage *at):
    cdef char host[SIGHTINGS_HOST_BYTES]
    cdef unsigned short port = sightings_place(at, host)
    return (host.decode(), port) if port else None


cdef object source(netio_owner *owner):
    cdef sockaddr_storage at
    return _place(&at) if netio_source(owner, &at) else None


cdef bint watch_key(netio_owner *owner, const unsigned char *key) noexcept nogil:
    return sightings_watch(netio_sightings(owner), key)


cdef void forget_key(netio_owner *owner, const unsigned char *key) noexcept nogil:
    sightings_forget(netio_sightings(owner), key)


cdef bint sighted(netio_owner *owner) noexcept nogil:
    return netio_sightings(owner).any


cdef list take_sightings(netio_owner *owner):
    cdef unsigned char key[32]
    cdef sockaddr_storage at
    cdef list taken = []
    while sightings_take(netio_sightings(owner), key, &at):
        place = _place(&at)
        if place is not None:
            taken.append(((<const char *>key)[:32], *place))
    return taken


cdef list take_overheard(netio_owner *owner):
    cdef heard one
    cdef list taken = []
    while overheard_take(netio_overheard(owner), &one):
        at, teller = _place(<const sockaddr_storage *>&one.at), _place(&one.teller)
        if at is not None and teller is not None:
            taken.append(((<const char *>one.key)[:32], at, teller))
    return taken


cdef bint open_door(netio_owner *owner, int fd, bytes host, unsigned short port):
    return netio_open_door(owner, fd, host, port)


cdef void close_door(netio_owner *owner, int fd) noexcept nogil:
    netio_close_door(owner, fd)


cdef uint32_t answers(netio_owner *owner) noexcept nogil:
    return netio_answers(owner)


cdef bint know_twin(netio_owner *owner, bytes ipv4, bytes ipv6):
    return netio_know_twin(owner, ipv4, ipv6)


cdef bint set_nat64(netio_owner *owner, bytes prefix):
    return netio_set_nat64(owner, prefix)


cdef void rank_relay(netio_owner *owner, int fd, bint quick) noexcept nogil:
    netio_rank_relay(owner, fd, quick)


cdef void begin_call(netio_owner *owner) noexcept nogil:
    netio_begin_call(owner)


cdef bint end_call(netio_owner *owner) noexcept nogil:
    return netio_end_call(owner)


cdef size_t announce_again(netio_owner *owner) noexcept nogil:
    return netio_announce_again(owner)


cdef uint32_t sockets_version(netio_owner *owner) noexcept nogil:
    return netio_sockets_version(owner)


cdef list sockets(netio_owner *owner):
    cdef size_t count = netio_sockets(owner, NULL, 0)
    cdef netio_socket *found = <netio_socket *>malloc(max(count, 1) * sizeof(netio_socket))
    if found == NULL:
        raise MemoryError
    try:
        netio_sockets(owner, found, count)
        return [(found[i].fd, bool(found[i].datagram)) for i in range(count)]
    finally:
        free(found)


cdef void set_segmentation(netio_owner *owner, bint segmentation) noexcept nogil:
    netio_set_segmentation(owner, segmentation)


cdef void set_mark(netio_owner *owner, uint32_t mark) noexcept nogil:
    netio_set_mark(owner, mark)


cdef void begin_keys() noexcept nogil:
    introduce_begin_keys()


cdef list end_keys():
    cdef unsigned char keys[INTRODUCE_MOST_KEYS][INTRODUCE_KEY_BYTES]
    cdef size_t count = introduce_end_keys(keys)
    return [(<const char *>keys[i])[:INTRODUCE_KEY_BYTES] for i in range(count)]


cdef bytes introduction(bytes onion_key, const unsigned char *own_secret, bytes friend_key, bytes content):
    cdef unsigned char datagram[INTRODUCE_OVERHEAD + INTRODUCE_MOST_CONTENT]
    cdef size_t length = introduce(datagram, onion_key, own_secret, friend_key, content, len(content))
    return (<const char *>datagram)[:length]


# -- detours ---------------------------------------------------------------------------------------

cdef bint set_detour(netio_owner *owner, unsigned slot, uint32_t via, uint8_t index,
                     const uint8_t *dht_key) noexcept nogil:
    cdef detours *all = netio_detours(owner, True)
    if all == NULL or slot >= DETOUR_SLOTS:
        return False
    detour_set(all, slot, via, index, dht_key)
    return True


cdef void clear_detour(netio_owner *owner, unsigned slot) noexcept nogil:
    if netio_detours(owner, False) != NULL and slot < DETOUR_SLOTS:
        detour_clear(netio_detours(owner, False), slot)


cdef object open_detour(netio_owner *owner, unsigned slot, double open_s):
    cdef sockaddr_in6 at
    cdef detours *all = netio_detours(owner, False)
    if all == NULL or slot >= DETOUR_SLOTS:
        return None
    memset(&at, 0, sizeof(at))
    detour_straighten(all, slot, &at, 0)
    detour_open(all, slot, netio_now_ns() + <int64_t>(open_s * 1e9))
    detour_address(all, slot, &at)
    return _place(<const sockaddr_storage *>&at)


cdef bint straighten_detour(netio_owner *owner, unsigned slot, const char *host, unsigned short port,
                            double straight_s):
    cdef sockaddr_in6 to
    cdef detours *all = netio_detours(owner, False)
    if all == NULL or slot >= DETOUR_SLOTS or not sightings_at(host, port, &to):
        return False
    detour_straighten(all, slot, &to, netio_now_ns() + <int64_t>(straight_s * 1e9))
    return True


cdef object detour_traffic(netio_owner *owner, unsigned slot):
    cdef c_detour_traffic traffic
    cdef int64_t now_ns = netio_now_ns()
    if netio_detours(owner, False) == NULL or slot >= DETOUR_SLOTS:
        return None
    traffic = c_traffic(netio_detours(owner, False), slot)
    return DetourTraffic(
        traffic.sent,
        traffic.received,
        traffic.asked,
        (now_ns - traffic.sent_ns) / 1e9 if traffic.sent_ns else None,
        (now_ns - traffic.received_ns) / 1e9 if traffic.received_ns else None,
    )


cdef bint detour_waits(netio_owner *owner) noexcept nogil:
    return c_waits(netio_detours(owner, False))


cdef size_t next_for_friend(netio_owner *owner, uint32_t *via, uint8_t *packet) noexcept nogil:
    return c_next(netio_detours(owner, False), via, packet)


cdef void close_detours(netio_owner *owner, bint closed) noexcept nogil:
    detours_close(netio_detours(owner, False), closed)


cdef bint take_onward(netio_owner *owner, uint32_t via, const uint8_t *packet, size_t length) noexcept nogil:
    if not detour_is_onward(packet, length):
        return False
    detour_arrived(netio_detours(owner, False), via, packet, length, netio_now_ns(), netio_inbox(owner))
    return True


cdef bint relayed(netio_owner *owner, uint32_t from_, const uint8_t *packet, size_t length, uint32_t *to,
                  uint8_t *out) noexcept nogil:
    if not c_relay(netio_detours(owner, False), from_, packet, length, to, out):
        _detour_counters.relay_refused += 1
        return False
    if netio_congested(owner):
        _detour_counters.relay_no_room += 1
        return False
    _detour_counters.relayed += 1
    return True


cdef bint is_whole(const uint8_t *packet) noexcept nogil:
    return detour_is_whole(packet)


cdef bint relay_for(netio_owner *owner, dict members):
    cdef uint32_t numbers[DETOUR_MEMBERS]
    cdef uint8_t indices[DETOUR_MEMBERS]
    cdef size_t count = 0
    cdef detours *all = netio_detours(owner, bool(members))
    if all == NULL:
        return not members
    for index, number in list(members.items())[:DETOUR_MEMBERS]:
        indices[count], numbers[count] = index, number
        count += 1
    detour_relay_for(all, numbers, indices, count)
    return True


class DetourTraffic(NamedTuple):
    """Datagrams of a connection that took a detour, and the seconds since the last one; None: there was none.

    `asked`: how often the peer looked for us there.
    """

    sent: int
    received: int
    asked: int
    sent_ago_s: float | None
    received_ago_s: float | None


def detour_counters() -> dict[str, int]:
    """What the detours counted since the process started; detour.h explains each counter."""
    return dict(_detour_counters)


# -- putting the hooks in place ----------------------------------------------------------------------

class Hook(NamedTuple):
    """Whether one group of hooks is in force, and if not, why."""

    in_force: bool
    reason: str


class Hooks(NamedTuple):
    sockets: Hook
    batch: Hook
    streams: Hook
    clock: Hook
    page_lock: Hook
    scratch: Hook
    crypto: Hook
    reunion: Hook
    detour: Hook
    punch: Hook
    quick: Hook


_NOT_YET = Hook(False, "libtoxcore is not loaded yet")
_hooks = Hooks._make([_NOT_YET] * len(Hooks._fields))
_shield = None


cdef object _install(netio_hook_group group, uintptr_t address, str switch, str plain):
    if os.environ.get(switch) == plain:
        return Hook(False, f"{switch}={plain}")
    cdef const char *why = netio_install(group, <const void *>address)
    return Hook(True, "") if why == NULL else Hook(False, why.decode())


cdef object _with(str switch, dict needs):
    """A group without imports of its own."""
    if os.environ.get(switch) == "off":
        return Hook(False, f"{switch}=off")
    for name, needed in needs.items():
        if not needed.in_force:
            return Hook(False, f"needs {name} ({needed.reason})")
    return Hook(True, "")


def install(address: int, flawed: bool = False) -> Hooks:
    """Put the hooks into the loaded libtoxcore that contains `address`, the address of any of its functions.

    `flawed` says that libraries of its version need the shield. Call it before the first handle is made. It acts once per
    process; later calls only return which hooks are in force.
    """
    global _hooks, _shield
    if _hooks.sockets is not _NOT_YET:
        return _hooks
    sockets = _install(NETIO_SOCKETS, address, "TOXVPN_SOCKETS", "off")
    if sockets.in_force:
        batch = _install(NETIO_BATCH, address, "TOXVPN_UDP_BATCH", "off")
        streams = _install(NETIO_STREAMS, address, "TOXVPN_STREAMS", "off")
    else:
        batch = streams = Hook(False, f"needs the sockets ({sockets.reason})")
    if flawed:
        _shield = _install(NETIO_SHIELD, address, "TOXVPN_SOCKETS", "off")
    clock = _install(NETIO_CLOCK, address, "TOXVPN_CLOCK", "off")
    page_lock = _install(NETIO_PAGE_LOCK, address, "TOXVPN_PAGE_LOCK", "strict")
    scratch = _install(NETIO_SCRATCH, address, "TOXVPN_SCRATCH", "off")
    crypto = _install(NETIO_CRYPTO, address, "TOXVPN_CRYPTO", "off")
    reunion = _install(NETIO_REUNION, address, "TOXVPN_REUNION", "off")
    if batch.in_force:
        detour = _install(NETIO_DETOUR, address, "TOXVPN_DETOUR", "off")
    else:
        detour = Hook(False, f"needs the batch ({batch.reason})")
    punch = _with("TOXVPN_PUNCH", {"batch": batch, "crypto": crypto})
    if punch.in_force:
        netio_overhear()
    quick = _with("TOXVPN_QUICK", {"streams": streams, "crypto": crypto})
    _hooks = Hooks(sockets, batch, streams, clock, page_lock, scratch, crypto, reunion, detour, punch, quick)
    return _hooks


def hooks() -> Hooks:
    """Which hooks are in force, as `toxvpn -V` prints it."""
    return _hooks


def kernel() -> str:
    """Which of our versions encrypts: "avx2" or another name of crypto/kernels.c; empty where libsodium does."""
    cdef const char *name = boxhook_kernel()
    return "" if name == NULL else name.decode()


def shield() -> Hook | None:
    """Whether the shield is in force; None where no libtoxcore of this version needs one."""
    return _shield


def counters() -> dict[str, int]:
    """What the hooks counted since the process started; kernel.h explains each counter."""
    return dict(_counters)


def harden() -> None:
    """Make the process undumpable: no core file, and no other process of the user may read its memory.

    The program calls it once it holds secrets (prctl(2), PR_SET_DUMPABLE): the scratch memory of packets is
    not locked, so it must not reach the disk in a core dump. As a side effect /proc/self then belongs to
    root; set up a user namespace before, or in another process.
    """
    if prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(errno, os.strerror(errno))
