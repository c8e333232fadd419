/* Flow queueing with CoDel: whose turn it is, and which flow is to slow down (RFC 8290, RFC 8289).
 *
 * Sans-IO: nanoseconds of any monotonic clock come in. A flow's items keep their order. An item may be large
 * and go in pieces, between which other flows get their turns; so the caller asks for the next item, takes
 * one piece off and says so. Neighbour: backlog.c, whose items are packets. */
#ifndef TOXVPN_FLOWQUEUE_H
#define TOXVPN_FLOWQUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FLOWQUEUE_LANES = 1024,   /* flows are spread over so many by their hash */
    FLOWQUEUE_QUANTUM = 1514, /* bytes of a turn: one packet */
};

struct queued {
    struct queued *next;
    uint64_t at_ns;
    size_t bytes; /* still to be sent */
    size_t held;  /* memory that it takes up until it is gone */
};

struct codel {
    uint64_t too_long_ns; /* from then on the delay has been too long; 0: it is small enough */
    uint64_t next_ns;     /* when to tell again */
    uint32_t count, last_count;
    bool telling;
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
    struct lane_list fresh, old; /* flows that have just begun to wait go first */
    struct lane *current;        /* whose item flowqueue_next() gave */
    size_t held;
    struct lane lanes[FLOWQUEUE_LANES];
};

void flowqueue_put(struct flowqueue *queue, uint32_t hash, struct queued *item, uint64_t now_ns);

/* The item of which a piece is to go, still in the queue; NULL: it is empty. With `late`, the piece is to be
 * marked or dropped, so that its sender slows down. flowqueue_took() or flowqueue_dropped() must follow. */
struct queued *flowqueue_next(struct flowqueue *queue, uint64_t now_ns, bool *late);

/* So many bytes of that item are gone: sent, or dropped, which does not count as a turn. With all of them
 * the item leaves the queue. */
void flowqueue_took(struct flowqueue *queue, size_t bytes);
void flowqueue_dropped(struct flowqueue *queue, size_t bytes);

/* Takes the oldest item out of the flow that holds most; NULL: it is empty. */
struct queued *flowqueue_shed(struct flowqueue *queue);

/* Takes out every item that `matches`; they are chained by `next`. */
struct queued *flowqueue_remove(struct flowqueue *queue, bool (*matches)(const struct queued *, const void *),
                                const void *context);

#endif
