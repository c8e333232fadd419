#include "backlog.h"

#include <time.h>

#include "outgoing.h"

struct waiting {
    struct queued queued; /* must be first: the queue has pointers to it */
    struct path *path;
    struct outgoing out;
    uint8_t data[];
};

static uint64_t now_ns(const struct backlog *backlog) {
    struct timespec now;
    if (backlog->stopped_at_ns)
        return backlog->stopped_at_ns;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* -- the flow of a packet */

static uint64_t mixed(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
    return hash ^ hash >> 32;
}

static bool has_ports(const struct packet *packet) {
    return (packet->protocol == PROTOCOL_TCP || packet->protocol == PROTOCOL_UDP) &&
           packet->transport + 4U <= packet->length;
}

/* The identification of a fragmented packet; in IPv6 the fragment header is the last one before
 * `transport`. */
static uint32_t fragment_id(const struct packet *packet) {
    return packet->version == 4 ? load16(packet->ip + 4) : load32(packet->ip + packet->transport - 4);
}

/* The lane of a flow, by its addresses, protocol and ports. Later fragments have no ports: they follow the
 * first fragment of their packet, which the kernel sends just before them, into its lane. */
static uint32_t lane_of(struct backlog *backlog, const struct packet *packet) {
    uint64_t addresses[4] = {0};
    memcpy(addresses, packet->source, 2 * address_bytes(packet->version));
    uint64_t hash = backlog->seed;
    for (int i = 0; i < 4; i++)
        hash = mixed(hash, addresses[i]);
    uint64_t fragmented = packet->fragment ? mixed(hash, fragment_id(packet)) : 0;
    if (packet->fragment && !has_ports(packet) && fragmented == backlog->fragmented)
        return backlog->fragments_lane;
    hash = mixed(hash, packet->protocol);
    if (has_ports(packet))
        hash = mixed(hash, load32(packet->ip + packet->transport));
    if (packet->fragment) {
        backlog->fragmented = fragmented;
        backlog->fragments_lane = (uint32_t)hash;
    }
    return (uint32_t)hash;
}

/* -- in */

static void drop_all(struct waiting *waiting, enum drop reason) {
    while (waiting->out.plan.left)
        outgoing_drop(waiting->path, &waiting->out, reason);
    free(waiting);
}

void backlog_put(struct backlog *backlog, struct path *path, struct outgoing *out) {
    size_t length = out->plan.headers + out->plan.left;
    struct waiting *waiting = malloc(sizeof *waiting + HEADROOM + length);
    if (waiting == NULL) {
        while (out->plan.left)
            outgoing_drop(path, out, DROP_QUEUE_FULL);
        return;
    }
    waiting->path = path;
    waiting->out = *out;
    waiting->out.plan.ip =
        waiting->data + HEADROOM; /* the other pointers serve as offsets only from now on */
    memcpy(waiting->out.plan.ip, out->plan.ip, length);
    waiting->queued.bytes = cut_bytes(&out->plan);
    waiting->queued.held = sizeof *waiting + HEADROOM + length;
    const struct packet headers = cut_headers(&waiting->out.plan);
    flowqueue_put(&backlog->queue, lane_of(backlog, &headers), &waiting->queued, now_ns(backlog));
    while (backlog->queue.held > BACKLOG_BYTES)
        drop_all((struct waiting *)flowqueue_shed(&backlog->queue), DROP_QUEUE_FULL);
}

/* -- out */

static bool send_piece(struct backlog *backlog, uint64_t at_ns) {
    bool late;
    struct waiting *waiting = (struct waiting *)flowqueue_next(&backlog->queue, at_ns, &late);
    if (waiting == NULL)
        return false;
    struct outgoing *out = &waiting->out;
    size_t bytes = cut_next_bytes(&out->plan);
    if (late && !outgoing_may_be_marked(out)) {
        outgoing_drop(waiting->path, out, DROP_LATE);
        flowqueue_dropped(&backlog->queue, bytes);
    } else {
        outgoing_send(waiting->path, out, late);
        flowqueue_sent(&backlog->queue, bytes);
    }
    if (out->plan.left == 0)
        free(waiting);
    return true;
}

void backlog_send(struct backlog *backlog, const struct carrier *carrier) {
    while (backlog_waits(backlog) && !carrier->congested(carrier->context)) {
        uint64_t at_ns = now_ns(backlog);
        while (!carrier->congested(carrier->context) && send_piece(backlog, at_ns))
            ;
        bundle_flush(&backlog->bundle);
        carrier->flush(carrier->context);
    }
}

/* -- removal */

struct owner {
    const struct path *path;
    uint32_t friend_number;
};

static bool belongs_to(const struct queued *queued, const void *context) {
    const struct waiting *waiting = (const struct waiting *)queued;
    const struct owner *owner = context;
    return waiting->path == owner->path &&
           (owner->friend_number == EVERYBODY || owner->friend_number == waiting->out.friend_number);
}

void backlog_forget(struct backlog *backlog, struct path *path, uint32_t friend_number) {
    struct owner owner = {path, friend_number};
    struct queued *next, *queued = flowqueue_remove(&backlog->queue, belongs_to, &owner);
    for (; queued; queued = next) {
        struct waiting *waiting = (struct waiting *)queued;
        next = queued->next;
        waiting->out.friend_number = OURSELVES; /* the friend's own counters are about to be reset */
        drop_all(waiting, DROP_OFFLINE);
    }
}
