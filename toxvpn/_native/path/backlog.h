/* Outbound packets that wait for room in the network, of all paths over one carrier, in a queue per flow.
 *
 * The TUN devices are read even while the network takes no more: in their queues the megabytes of one flow
 * would be in front of every other packet. Neighbours: flowqueue.c decides about the order, outbound.c
 * sends. */
#ifndef TOXVPN_BACKLOG_H
#define TOXVPN_BACKLOG_H

#include <stdlib.h>
#include <sys/random.h>

#include "bundle.h"
#include "flowqueue.h"

enum { BACKLOG_BYTES = 8 << 20 }; /* bytes of memory: 0.1 s at 600 Mbit/s; CoDel keeps it far below */

struct backlog {
    uint64_t seed;       /* of the hash, so that nobody outside can tell which flows share a lane */
    uint64_t fragmented; /* the last packet that came in fragments, and the lane where those wait */
    uint32_t fragments_lane;
    uint64_t stopped_at_ns; /* the time while a test has stopped the clock; 0: it runs */
    struct bundle bundle;   /* what goes out in this batch */
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

/* Copies what is left of a packet into the queue. When that gets too large, packets of its largest flow are
 * dropped. */
void backlog_put(struct backlog *backlog, struct path *path, struct outgoing *out);

/* Sends until nothing waits, or the carrier is congested. */
void backlog_send(struct backlog *backlog, const struct carrier *carrier);

/* Drops the waiting packets of that path for one friend, or for EVERYBODY. */
void backlog_forget(struct backlog *backlog, struct path *path, uint32_t friend_number);

#endif
