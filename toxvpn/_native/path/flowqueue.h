/* Flow queueing with CoDel (RFC 8290, RFC 8289): decides which flow is next, and which must slow down.
 *
 * Sans-IO: nanoseconds of any monotonic clock come in. A flow's items keep their order. An item may be large
 * and sent in pieces, between which other flows get their turns; so the caller asks for the next item, takes
 * one piece of it and reports that. Neighbour: backlog.c, whose items are packets. */
#ifndef TOXVPN_FLOWQUEUE_H
#define TOXVPN_FLOWQUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FLOWQUEUE_LANES = 1024,   /* a flow is assigned to one of them by its hash */
    FLOWQUEUE_QUANTUM = 1514, /* bytes per turn: one packet */
};

struct queued {
    struct queued *next;
    uint64_t at_ns;
    size_t bytes; /* still to be sent */
    size_t held;  /* bytes of memory that it occupies until all of it is sent or dropped */
};

struct codel {
    uint64_t
        drop_from_ns; /* when the delay will have been above the target for an interval; 0: it is below */
    uint64_t drop_next_ns; /* when to drop again */
    uint32_t count, last_count;
    bool dropping;
};

struct lane {
    struct lane *next;
    struct queued *head, *tail;
    size_t bytes, held;
    int64_t deficit;
    bool active;
    struct codel codel;
};

struct lane_list {
    struct lane *head, *tail;
};

struct flowqueue {
    struct lane_list new_lanes, old_lanes; /* flows that have just begun to wait are served first */
    struct lane *current;                  /* the lane of the item that flowqueue_next() returned */
    size_t held;
    struct lane lanes[FLOWQUEUE_LANES];
};

void flowqueue_put(struct flowqueue *queue, uint32_t hash, struct queued *item, uint64_t now_ns);

/* The item of which a piece is to be sent, still in the queue; NULL: the queue is empty. `late` is set when
 * the piece must be marked or dropped, so that its sender slows down. Call flowqueue_sent() or
 * flowqueue_dropped() next. */
struct queued *flowqueue_next(struct flowqueue *queue, uint64_t now_ns, bool *late);

/* Reports that this many bytes of that item were sent, or dropped, which does not count for its turn. An item
 * of which nothing is left leaves the queue. */
void flowqueue_sent(struct flowqueue *queue, size_t bytes);
void flowqueue_dropped(struct flowqueue *queue, size_t bytes);

/* Takes out the oldest item of the lane that occupies the most memory; NULL: the queue is empty. */
struct queued *flowqueue_shed(struct flowqueue *queue);

/* Takes out every item that `matches`; they are chained by `next`. */
struct queued *flowqueue_remove(struct flowqueue *queue, bool (*matches)(const struct queued *, const void *),
                                const void *context);

#endif
