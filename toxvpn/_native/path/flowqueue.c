#include "flowqueue.h"

#include <math.h>

static const uint64_t TARGET_NS = 5000000;     /* acceptable delay */
static const uint64_t INTERVAL_NS = 100000000; /* for this long, more delay may be a burst */

/* -- the order of flows: deficit round robin, new flows first (RFC 8290 §4.2) */

static void append(struct lane_list *list, struct lane *lane) {
    lane->next = NULL;
    if (list->head)
        list->tail->next = lane;
    else
        list->head = lane;
    list->tail = lane;
}

/* The lane whose turn it is. Empty lanes, and those whose turn is over, are moved to the end or taken out. */
static struct lane *lane_to_serve(struct flowqueue *queue) {
    while (queue->new_lanes.head || queue->old_lanes.head) {
        struct lane_list *list = queue->new_lanes.head ? &queue->new_lanes : &queue->old_lanes;
        struct lane *lane = list->head;
        if (lane->head && lane->deficit > 0)
            return lane;
        list->head = lane->next;
        if (lane->head)
            lane->deficit += FLOWQUEUE_QUANTUM;
        /* an empty new lane becomes old for a round, or a flow of single packets would always be new */
        if (lane->head || (list == &queue->new_lanes && queue->old_lanes.head))
            append(&queue->old_lanes, lane);
        else
            lane->active = false;
    }
    return NULL;
}

/* -- CoDel (RFC 8289 §5): drops or marks a packet once a flow's delay has been above the target for an
 * interval, then again at growing frequency until it is below */

static uint64_t control_law(uint64_t from_ns, uint32_t count) {
    return from_ns + (uint64_t)((double)INTERVAL_NS / sqrt(count));
}

static bool above_target(struct codel *codel, const struct lane *lane, uint64_t now_ns) {
    uint64_t delay_ns = now_ns - lane->head->at_ns;
    if (delay_ns < TARGET_NS || lane->bytes <= FLOWQUEUE_QUANTUM) {
        codel->drop_from_ns = 0;
        return false;
    }
    if (codel->drop_from_ns == 0) {
        codel->drop_from_ns = now_ns + INTERVAL_NS;
        return false;
    }
    return now_ns >= codel->drop_from_ns;
}

static bool should_drop(struct codel *codel, const struct lane *lane, uint64_t now_ns) {
    bool ok_to_drop = above_target(codel, lane, now_ns);
    if (!codel->dropping) {
        if (!ok_to_drop)
            return false;
        /* soon after the last time, begin with about the frequency that was right then */
        uint32_t increase = codel->count - codel->last_count;
        bool recently = now_ns < codel->drop_next_ns + 16 * INTERVAL_NS;
        codel->dropping = true;
        codel->count = codel->last_count = increase > 1 && recently ? increase : 1;
        codel->drop_next_ns = control_law(now_ns, codel->count);
        return true;
    }
    codel->dropping = ok_to_drop;
    if (!ok_to_drop || now_ns < codel->drop_next_ns)
        return false;
    codel->drop_next_ns = control_law(codel->drop_next_ns, ++codel->count);
    return true;
}

/* -- items */

void flowqueue_put(struct flowqueue *queue, uint32_t hash, struct queued *item, uint64_t now_ns) {
    struct lane *lane = &queue->lanes[hash % FLOWQUEUE_LANES];
    item->next = NULL;
    item->at_ns = now_ns;
    if (lane->head)
        lane->tail->next = item;
    else
        lane->head = item;
    lane->tail = item;
    lane->bytes += item->bytes;
    lane->held += item->held;
    queue->held += item->held;
    if (!lane->active) {
        lane->active = true;
        lane->deficit = FLOWQUEUE_QUANTUM;
        append(&queue->new_lanes, lane);
    }
}

struct queued *flowqueue_next(struct flowqueue *queue, uint64_t now_ns, bool *late) {
    queue->current = lane_to_serve(queue);
    if (queue->current == NULL)
        return NULL;
    *late = should_drop(&queue->current->codel, queue->current, now_ns);
    return queue->current->head;
}

static void forget_delay(struct lane *lane) {
    if (lane->head == NULL) {
        lane->codel.drop_from_ns = 0;
        lane->codel.dropping = false;
    }
}

static struct queued *unlink_head(struct flowqueue *queue, struct lane *lane) {
    struct queued *item = lane->head;
    lane->head = item->next;
    lane->bytes -= item->bytes;
    lane->held -= item->held;
    queue->held -= item->held;
    forget_delay(lane);
    return item;
}

void flowqueue_dropped(struct flowqueue *queue, size_t bytes) {
    struct lane *lane = queue->current;
    lane->bytes -= bytes;
    lane->head->bytes -= bytes;
    if (lane->head->bytes == 0)
        unlink_head(queue, lane);
}

void flowqueue_sent(struct flowqueue *queue, size_t bytes) {
    queue->current->deficit -= (int64_t)bytes;
    flowqueue_dropped(queue, bytes);
}

static void fattest_of(const struct lane_list *list, struct lane **fattest) {
    for (struct lane *lane = list->head; lane; lane = lane->next)
        if (*fattest == NULL || lane->held > (*fattest)->held)
            *fattest = lane;
}

struct queued *flowqueue_shed(struct flowqueue *queue) {
    struct lane *fattest = NULL;
    fattest_of(&queue->new_lanes, &fattest);
    fattest_of(&queue->old_lanes, &fattest);
    return fattest && fattest->head ? unlink_head(queue, fattest) : NULL;
}

struct queued *flowqueue_remove(struct flowqueue *queue, bool (*matches)(const struct queued *, const void *),
                                const void *context) {
    struct queued *removed = NULL;
    for (struct lane *lane = queue->lanes; queue->held && lane < queue->lanes + FLOWQUEUE_LANES; lane++) {
        struct queued *item = lane->head, *kept = NULL;
        for (struct queued **link = &lane->head; (item = *link) != NULL;) {
            if (!matches(item, context)) {
                kept = item;
                link = &item->next;
                continue;
            }
            *link = item->next;
            lane->bytes -= item->bytes;
            lane->held -= item->held;
            queue->held -= item->held;
            item->next = removed;
            removed = item;
        }
        lane->tail = kept;
        forget_delay(lane);
    }
    return removed;
}
