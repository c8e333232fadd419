"""The network and clock under toxcore, for other compiled modules: the C files are linked once."""

from libc.stdint cimport uint8_t, uint32_t


cdef extern from "hooks.h":
    ctypedef struct netio_owner:
        pass
    ctypedef struct netio_socket:
        int fd
        bint datagram
    ctypedef void netio_flush_inbound(void *) noexcept


# One owner per Tox handle. Between enter and leave, sockets that libtoxcore makes are the owner's, its clock
# is the owner's, and its datagrams are gathered. `leave` sends what is gathered; when pairs nest, the
# outermost does.
cdef netio_owner *owner_new() noexcept nogil
cdef void owner_free(netio_owner *owner) noexcept nogil
cdef netio_owner *enter(netio_owner *owner) noexcept nogil
cdef void leave(netio_owner *owner, netio_owner *previous) noexcept nogil
cdef void flush(netio_owner *owner) noexcept nogil
# Says whether routers may fragment the datagrams from now on; by default they may. Datagrams that may not be
# fragmented do not wait for room. False: there is no room now, and nothing has changed; or there was none for
# one of those.
cdef bint allow_fragments(netio_owner *owner, bint allowed) noexcept nogil
# `call` is called inside tox_iterate, when a turn has received datagrams and there are no more of them.
cdef void on_flush_inbound(netio_owner *owner, netio_flush_inbound *call, void *context) noexcept nogil
# Whether the kernel takes no more for now: stop producing, wait until the socket is writable, then flush.
cdef bint congested(netio_owner *owner) noexcept nogil
cdef bint streams_held(netio_owner *owner) noexcept nogil
# Whether datagrams were received but not yet handed out (turns are bounded): iterate again soon.
cdef bint receive_pending(netio_owner *owner) noexcept nogil
# Sets the rate of the owner's CLOCK_MONOTONIC, which never goes backwards. Above 0, at most 100, others
# are ignored.
cdef void set_clock_rate(netio_owner *owner, double rate) noexcept nogil
# Puts the clock ahead at once; it then stands until its own time has come as far. Above 0, at most 1 s,
# others are ignored.
cdef void step_clock(netio_owner *owner, double step_s) noexcept nogil
# Puts the clock ahead for good. Above 0, at most 60 s, others are ignored.
cdef void jump_clock(netio_owner *owner, double jump_s) noexcept nogil
# Seconds since the last call, also those in which the machine slept; 0 the first time.
cdef double passed_s(netio_owner *owner) noexcept nogil
# (address, port) of the datagram that libtoxcore is handling now; None when it came through a relay.
cdef object source(netio_owner *owner)
# See Tox.watch_key, Tox.forget_key, Tox.sightings.
cdef bint watch_key(netio_owner *owner, const unsigned char *key) noexcept nogil
cdef void forget_key(netio_owner *owner, const unsigned char *key) noexcept nogil
cdef list take_sightings(netio_owner *owner)
# Whether there may be a sighting to take.
cdef bint sighted(netio_owner *owner) noexcept nogil
# See Tox.overheard, Tox.open_door, Tox.close_door, Tox.know_twin, Tox.set_nat64.
cdef list take_overheard(netio_owner *owner)
cdef bint open_door(netio_owner *owner, int fd, bytes host, unsigned short port)
cdef void close_door(netio_owner *owner, int fd) noexcept nogil
# See Tox.answers.
cdef uint32_t answers(netio_owner *owner) noexcept nogil
cdef bint know_twin(netio_owner *owner, bytes ipv4, bytes ipv6)
cdef bint set_nat64(netio_owner *owner, bytes prefix)
# See Tox.rank_relays, Tox.call_relays.
cdef void rank_relay(netio_owner *owner, int fd, bint quick) noexcept nogil
cdef void begin_call(netio_owner *owner) noexcept nogil
cdef bint end_call(netio_owner *owner) noexcept nogil
# See Tox.announce_again.
cdef size_t announce_again(netio_owner *owner) noexcept nogil
# Changes whenever the list of sockets does.
cdef uint32_t sockets_version(netio_owner *owner) noexcept nogil
# All sockets, as (descriptor, whether it is for datagrams).
cdef list sockets(netio_owner *owner)
# Says whether sockets that are made from now on may send with UDP_SEGMENT.
cdef void set_segmentation(netio_owner *owner, bint segmentation) noexcept nogil
# The mark (SO_MARK) of sockets that are made from now on, by which routing and the firewall know them. 0: none.
cdef void set_mark(netio_owner *owner, uint32_t mark) noexcept nogil
# Between the two, the public keys that libtoxcore makes in this thread are noted, at most 8; `end_keys` returns them.
cdef void begin_keys() noexcept nogil
cdef list end_keys()
# What tells a handle with that secret and onion key something of its friend; see Tox.introductions. b"": not possible.
cdef bytes introduction(bytes onion_key, const unsigned char *own_secret, bytes friend_key, bytes content)
# Detours (detour.h): see Tox.set_detour and those that follow it. False, None: not possible here.
cdef bint set_detour(netio_owner *owner, unsigned slot, uint32_t via, uint8_t index,
                     const uint8_t *dht_key) noexcept nogil
cdef void clear_detour(netio_owner *owner, unsigned slot) noexcept nogil
cdef object open_detour(netio_owner *owner, unsigned slot, double open_s)
cdef bint straighten_detour(netio_owner *owner, unsigned slot, const char *host, unsigned short port,
                            double straight_s)
cdef object detour_traffic(netio_owner *owner, unsigned slot)
cdef bint relay_for(netio_owner *owner, dict members)
# Whether packets for friends wait; the next one of at most 1373 bytes, its length, 0: none.
cdef bint detour_waits(netio_owner *owner) noexcept nogil
cdef size_t next_for_friend(netio_owner *owner, uint32_t *via, uint8_t *packet) noexcept nogil
# While closed, what libtoxcore sends into a detour is dropped.
cdef void close_detours(netio_owner *owner, bint closed) noexcept nogil
# A packet of a detour came from a friend: False unless that friend has passed it on, to us.
cdef bint take_onward(netio_owner *owner, uint32_t via, const uint8_t *packet, size_t length) noexcept nogil
# Whether it is to be passed on to `to`, as `out`, which is as long.
cdef bint relayed(netio_owner *owner, uint32_t from_, const uint8_t *packet, size_t length, uint32_t *to,
                  uint8_t *out) noexcept nogil
# Whether routers may not fragment it.
cdef bint is_whole(const uint8_t *packet) noexcept nogil
