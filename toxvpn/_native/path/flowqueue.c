#include "flowqueue.h"

#include <math.h>

static const uint64_t TARGET_NS = 5000000;     /* a delay that is worth having */
static const uint64_t INTERVAL_NS = 100000000; /* for so long more of it may be a burst */

/* -- the order of flows: deficit round robin, fresh flows first (RFC 8290 §4.2) */

static void append(struct lane_list *list, struct lane *lane) {
    lane->next = NULL;
    if (list->head)
        list->tail->next = lane;
    else
        list->head = lane;
    list->tail = lane;
}

/* The lane to be served; emptied ones and those that have had their turn go back. */
static struct lane *serving(struct flowqueue *queue) {
    while (queue->fresh.head || queue->old.head) {
        struct lane_list *list = queue->fresh.head ? &queue->fresh : &queue->old;
        struct lane *lane = list->head;
        if (lane->head && lane->deficit > 0)
            return lane;
        list->head = lane->next;
        if (lane->head)
            lane->deficit += FLOWQUEUE_QUANTUM;
        /* once more round as an old one, or a flow of single packets would be fresh for ever */
        if (lane->head || (list == &queue->fresh && queue->old.head))
            append(&queue->old, lane);
        else
            lane->active = false;
    }
    return NULL;
}

/* -- CoDel (RFC 8289 §5): tells a flow to slow down once its delay has been above the target for an interval,
 * then again at growing frequency until it is below */

static uint64_t next_telling(uint64_t from_ns, uint32_t count) {
    return from_ns + (uint64_t)((double)INTERVAL_NS / sqrt(count));
}

static bool too_long(struct codel *codel, const struct lane *lane, uint64_t now_ns) {
    uint64_t delay_ns = now_ns - lane->head->at_ns;
    if (delay_ns < TARGET_NS || lane->bytes <= FLOWQUEUE_QUANTUM) {
        codel->too_long_ns = 0;
        return false;
    }
    if (codel->too_long_ns == 0) {
        codel->too_long_ns = now_ns + INTERVAL_NS;
        return false;
    }
    return now_ns >= codel->too_long_ns;
}

static bool tells(struct codel *codel, const struct lane *lane, uint64_t now_ns) {
    bool long_enough = too_long(codel, lane, now_ns);
    if (!codel->telling) {
        if (!long_enough)
            return false;
        /* soon after the last time, the frequency that was right then is a good one to begin with */
        uint32_t risen = codel->count - codel->last_count;
        bool lately = now_ns < codel->next_ns + 16 * INTERVAL_NS;
        codel->telling = true;
        codel->count = codel->last_count = risen > 1 && lately ? risen : 1;
        codel->next_ns = next_telling(now_ns, codel->count);
        return true;
    }
    codel->telling = long_enough;
    if (!long_enough || now_ns < codel->next_ns)
        return false;
    codel->next_ns = next_telling(codel->next_ns, ++codel->count);
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
        append(&queue->fresh, lane);
    }
}

struct queued *flowqueue_next(struct flowqueue *queue, uint64_t now_ns, bool *late) {
    queue->current = serving(queue);
    if (queue->current == NULL)
        return NULL;
    *late = tells(&queue->current->codel, queue->current, now_ns);
    return queue->current->head;
}

static void forget_delay(struct lane *lane) {
    if (lane->head == NULL) {
        lane->codel.too_long_ns = 0;
        lane->codel.telling = false;
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

void flowqueue_took(struct flowqueue *queue, size_t bytes) {
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
    fattest_of(&queue->fresh, &fattest);
    fattest_of(&queue->old, &fattest);
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
