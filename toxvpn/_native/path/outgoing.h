/* An outbound packet, or what is left of one: outbound.c sends it, in backlog.c it waits for room. */
#ifndef TOXVPN_OUTGOING_H
#define TOXVPN_OUTGOING_H

#include "cut.h"
#include "path.h"

struct outgoing {
    struct segmentation plan; /* with HEADROOM bytes before it that may be written */
    uint32_t friend_number;
};

/* Whether the next piece can be marked with "congestion experienced" (ECN) instead of being dropped. */
bool outgoing_may_be_marked(const struct outgoing *out);

/* Hands the next piece to the carrier; `mark`: with that mark. */
void outgoing_send(struct path *path, struct outgoing *out, bool mark);

/* Drops the next piece. */
void outgoing_drop(struct path *path, struct outgoing *out, enum drop reason);

#endif
