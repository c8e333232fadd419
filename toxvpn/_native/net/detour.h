/* A peer's datagrams by way of a common friend: to libtoxcore, one more address of the peer.
 *
 * Each detour has an address of its own that no host has, and a slot. What libtoxcore sends to it waits here as lossy
 * packets for the friend, which toxcore.pyx sends; the friend passes them on (`relay`), and on the other side they
 * become datagrams again, which come from the address of the detour back to us. So the encryption is that between the
 * peers, and the friend carries what it cannot read. Sans-IO: libtoxcore's functions, and times, come from outside.
 * Neighbours: hooks.c, inject.c, toxcore.pyx; docs/wire-format.md §10 has the form of the packets, tox/reach/detours.py decides.
 *
 * The addresses are link-local ones (febf::/16), random but for the slot, so libtoxcore tells them at most neighbours
 * in the local network, who can do nothing with them. Only datagrams of the connection itself pass, and the exchange of
 * nodes by which libtoxcore learns an address: the latter with the peer's own DHT key, and only while `open`. */
#ifndef TOXVPN_DETOUR_H
#define TOXVPN_DETOUR_H

#include "inject.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DETOUR_PACKET_ID = 210,
    DETOUR_HEADER = 3,
    DETOUR_LONGEST_PACKET = 1373, /* TOX_MAX_CUSTOM_PACKET_SIZE */
    DETOUR_KEY_BYTES = 32,
    DETOUR_SLOTS = 128,
    DETOUR_MEMBERS = 64, /* that we relay for */
    DETOUR_WAITING = 256,
};

struct detours;

/* Times are those of CLOCK_MONOTONIC, 0: never. */
struct detour_traffic {
    uint64_t sent, received; /* datagrams of the connection */
    uint64_t asked;          /* requests for nodes that came: the peer looks for us here */
    int64_t sent_ns, received_ns;
};

/* What did not pass, of the process. */
struct detour_counters {
    uint64_t relayed;       /* packets passed on between others */
    uint64_t relay_refused; /* the sender or the receiver is not one that we relay for */
    uint64_t relay_no_room; /* the network took no more */
    uint64_t unknown;       /* from a friend that is no relay of ours, or has no such peer */
    uint64_t malformed;
    uint64_t filtered; /* no datagrams of a connection, or of another key */
    uint64_t no_room;  /* too many waited */
    uint64_t nested;   /* a detour's packets do not take another one */
    uint64_t too_long;
};
extern struct detour_counters detour_counters;

struct detours *detours_new(void);
void detours_free(struct detours *all); /* NULL is fine, also where the others ask or take */

/* -- the ends */

/* Sets slot `slot`: the peer that `via` (friend number) calls `index`. Its traffic counts from 0 on. */
void detour_set(struct detours *all, unsigned slot, uint32_t via, uint8_t index, const uint8_t *dht_key);
void detour_clear(struct detours *all, unsigned slot);
/* libtoxcore may ask for nodes there until then, and gets another port to do so: a path that it has given up does not
 * come back at the same place. */
void detour_open(struct detours *all, unsigned slot, int64_t until_ns);
/* Until then, what is sent to the slot goes straight to that address of the peer's. */
void detour_straighten(struct detours *all, unsigned slot, const struct sockaddr_in6 *to, int64_t until_ns);
/* NULL: it goes by way of the friend. */
const struct sockaddr_in6 *detour_straight(const struct detours *all, unsigned slot, int64_t now_ns);
void detour_address(const struct detours *all, unsigned slot, struct sockaddr_in6 *out);
struct detour_traffic detour_traffic(const struct detours *all, unsigned slot);

/* The slot of that address, -1: it is none of ours. */
int detour_slot(const struct detours *all, const struct sockaddr *to, socklen_t to_length);
/* As sendto(2), to the address of the slot. `whole`: it may not travel in two packets. */
ssize_t detour_send(struct detours *all, unsigned slot, const uint8_t *data, size_t length, bool whole,
                    int64_t now_ns);
bool detour_waits(const struct detours *all);
/* Takes the next packet for a friend; returns its length, 0: there is none. */
size_t detour_next(struct detours *all, uint32_t *via, uint8_t packet[DETOUR_LONGEST_PACKET]);
/* While `closed`, what libtoxcore sends to a detour is dropped. */
void detours_close(struct detours *all, bool closed);

/* A packet with our ID came from that friend, passed on by it. */
void detour_arrived(struct detours *all, uint32_t via, const uint8_t *packet, size_t length, int64_t now_ns,
                    struct inject **inbox);

/* -- the friend between */

/* From now on these friends, by number, reach each other through us: the others know them by their index. */
void detour_relay_for(struct detours *all, const uint32_t *numbers, const uint8_t *indices, size_t count);
/* Whether the packet is to be passed on, rather than for us. */
bool detour_is_onward(const uint8_t *packet, size_t length);
/* The packet to pass on, as long as the one that came from that friend, and who gets it. False: nobody. */
bool detour_relay(const struct detours *all, uint32_t from, const uint8_t *packet, size_t length,
                  uint32_t *to, uint8_t out[DETOUR_LONGEST_PACKET]);
bool detour_is_whole(const uint8_t *packet);

#endif
