/* What waits for room in the network, of all paths over one carrier: packets in a queue per flow.
 *
 * While the network takes no more, the TUN devices go on being read: in their queues one flow's megabytes
 * would stand before every other packet. Neighbours: flowqueue.c decides about the order, outbound.c sends. */
#ifndef TOXVPN_BACKLOG_H
#define TOXVPN_BACKLOG_H

#include <stdlib.h>
#include <sys/random.h>

#include "flowqueue.h"

enum { BACKLOG_BYTES = 8 << 20 }; /* of memory: 0.1 s at 600 Mbit/s; CoDel keeps it far below */

struct backlog {
    uint64_t seed;       /* so that nobody can tell which flows share a lane */
    uint64_t fragmented; /* the last packet that came in fragments, and where they wait */
    uint32_t fragments_lane;
    uint64_t tests_ns; /* where tests stop the clock; 0: it runs */
    struct flowqueue queue;
};

struct path;
struct carrier;
struct outgoing;

/* NULL: out of memory. Free it only when it is empty. */
static inline struct backlog *backlog_new(void) {
    struct backlog *backlog = calloc(1, sizeof *backlog);
    if (backlog && getrandom(&backlog->seed, sizeof backlog->seed, GRND_NONBLOCK) < 0)
        backlog->seed = (uintptr_t)backlog;
    return backlog;
}

static inline bool backlog_waits(const struct backlog *backlog) { return backlog->queue.held > 0; }

/* Copies what is left of a packet into the queue; what is too much for it is dropped from its largest flow. */
void backlog_put(struct backlog *backlog, struct path *path, struct outgoing *out);

/* Sends until nothing waits, or the carrier is congested. */
void backlog_send(struct backlog *backlog, const struct carrier *carrier);

/* Drops what waits for that friend of the path, or for EVERYBODY. */
void backlog_forget(struct backlog *backlog, struct path *path, uint32_t friend_number);

#endif
