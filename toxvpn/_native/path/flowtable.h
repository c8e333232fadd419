/* A bounded table of flows: which packets belong to something that was let through before.
 *
 * Sans-IO: seconds of any monotonic clock come in. All flows are in one list, the one used last in front: a
 * full table forgets the flow at the other end.
 * Neighbour: policy.c, which says what a flow is and how long it may be idle. */
#ifndef TOXVPN_FLOWTABLE_H
#define TOXVPN_FLOWTABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { FLOWTABLE_ROOM = 4096 };

/* Both ends, protocol and IP version, in five words as the caller likes. */
struct flow_id {
    uint64_t words[5];
};

struct known_flow {
    struct flow_id key;
    uint32_t seen_s, idle_s; /* when it was used last; how long it may be idle */
    uint16_t next;           /* in the chain of its hash, or of free ones */
    uint16_t newer, older;
    uint8_t state; /* for the caller */
};

struct flowtable {
    uint64_t seed; /* of the hash, so that nobody outside can choose flows of one chain */
    uint16_t newest, oldest, unused;
    uint16_t chains[FLOWTABLE_ROOM];
    struct known_flow flows[FLOWTABLE_ROOM];
};

/* Makes it an empty table. */
void flowtable_start(struct flowtable *flows);

static inline bool flow_id_is(const struct flow_id *one, const struct flow_id *other) {
    return memcmp(one, other, sizeof *one) == 0;
}

/* The flow that was used last; NULL: there is none. */
static inline struct known_flow *flowtable_newest(struct flowtable *flows) {
    return flows->newest < FLOWTABLE_ROOM ? &flows->flows[flows->newest] : NULL;
}

static inline bool flow_is_fresh(const struct known_flow *flow, uint32_t now_s) {
    return now_s - flow->seen_s <= flow->idle_s;
}

/* The flow with that key, moved to the front; NULL: there is none, or it has been idle for too long. */
struct known_flow *flowtable_find(struct flowtable *flows, const struct flow_id *key, uint32_t now_s);

/* Enters a flow that flowtable_find() has not found, at the expense of the oldest where there is no room. Its
 * `idle_s` and `state` are 0. */
struct known_flow *flowtable_open(struct flowtable *flows, const struct flow_id *key, uint32_t now_s);

/* Calls `visit` for each flow, the newest first. */
void flowtable_each(struct flowtable *flows, void (*visit)(void *context, struct known_flow *flow),
                    void *context);

#endif
