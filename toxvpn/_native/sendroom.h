/* How much of ours may stand in the kernel, in front of the next datagram: what leaves within some
 * milliseconds, whatever the link's rate. The default would be up to megabytes, seconds on a slow link.
 *
 * Sans-IO. The kernel counts a socket's datagrams until the network card has sent them (SIOCOUTQ), and takes
 * no more at the limit (SO_SNDBUF); "bytes" are as it counts, overhead included. In: how many there are while
 * it takes no more; out: the limit. Neighbour: sendbatch.c. */
#ifndef TOXVPN_SENDROOM_H
#define TOXVPN_SENDROOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SENDROOM_START = 256 << 10 }; /* what any socket may have */

struct sendroom {
    size_t limit, ceiling;
    bool full;
    /* while full: the last look, and what has left since the limit was last thought over */
    size_t standing;
    int64_t looked_ns, busy_ns;
    size_t gone;
    /* while not: what has been sent since when */
    int64_t since_ns;
    size_t sent;
};

/* `ceiling`: what the kernel allows. */
void sendroom_start(struct sendroom *room, size_t ceiling);

/* The kernel takes no more, or is about to be asked again after it took no more. */
void sendroom_look(struct sendroom *room, size_t standing, int64_t now_ns);

/* It has taken so many bytes; to be told while sendroom_watches(). */
void sendroom_sent(struct sendroom *room, size_t bytes, int64_t now_ns);

static inline bool sendroom_watches(const struct sendroom *room) {
    return room->full || room->limit < SENDROOM_START;
}

/* Bytes at a time, so that the limit means something. */
size_t sendroom_piece(const struct sendroom *room);

#endif
