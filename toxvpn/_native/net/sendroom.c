#include "sendroom.h"

static const int64_t MS = 1000000;
static const double RATE_DECAY = 0.75; /* of the recent rate, from one probe to the next */

enum {
    START_LIMIT = 256 << 10,   /* what any socket may queue by default */
    SMALLEST_LIMIT = 4608,     /* what the kernel grants at least: two datagrams */
    CROWDED_LIMIT = 128 << 10, /* as TCP by its small queues: two packets of 64 kB */
    BATCHES_PER_LIMIT = 3,
    TARGET_MS = 8,        /* half of it is left when the kernel says that there is room: enough to wake up */
    MIN_BUSY_MS = 2,      /* after being busy for so long, a link has shown its rate */
    MEASURE_EVERY_MS = 1, /* while there is room */
    PROBE_EVERY_MS = 3000,
    WINDOW_MS = 32,
};

static size_t bounded(const struct sendroom *room, double limit) {
    double smallest = room->crowded ? CROWDED_LIMIT : SMALLEST_LIMIT;
    if (limit < smallest)
        limit = smallest;
    return limit < (double)room->ceiling ? (size_t)limit : room->ceiling;
}

void sendroom_start(struct sendroom *room, size_t ceiling) {
    *room = (struct sendroom){.ceiling = ceiling};
    room->limit = bounded(room, START_LIMIT);
}

size_t sendroom_batch_bytes(const struct sendroom *room) { return room->limit / BATCHES_PER_LIMIT; }

/* -- the limit, from what was measured */

static int64_t clamp(int64_t value, int64_t least, int64_t most) {
    return value < least ? least : value < most ? value : most;
}

/* The link's rate times the delay that is aimed at. */
static void update_limit(struct sendroom *room) {
    if (room->busy_ns < MIN_BUSY_MS * MS)
        return;
    double rate = (double)room->left_bytes / (double)room->busy_ns, now = (double)room->limit;
    double limit = rate * (double)clamp(room->smallest_ns * 3 / 2, TARGET_MS * MS, 3 * TARGET_MS * MS);
    room->recent_bytes += (double)room->left_bytes;
    room->recent_ns += (double)room->busy_ns;
    /* Rise at once, or the link would idle. Fall half-way where the measurement was short: it samples a
     * bursty process. */
    bool reliable = limit > now || room->busy_ns >= 4 * TARGET_MS * MS;
    room->limit = bounded(room, reliable ? limit : (limit + now) / 2);
    room->left_bytes = 0;
    room->busy_ns = 0;
}

/* Lets in only the smallest amount, to find out how long that takes to leave. */
static void start_probe(struct sendroom *room, int64_t now_ns) {
    room->saved_limit = room->limit;
    room->limit = SMALLEST_LIMIT;
    room->probe_sent = false;
    room->probe_bytes = 0;
    room->probe_busy_ns = 0;
    room->next_probe_ns = now_ns + PROBE_EVERY_MS * MS;
}

static void end_probe(struct sendroom *room) {
    double rate = (double)room->probe_bytes / (double)room->probe_busy_ns;
    room->smallest_ns = (int64_t)(SMALLEST_LIMIT / rate);
    room->limit = room->saved_limit;
    room->saved_limit = 0;
    update_limit(room); /* with what had left before the probe */
    double rate_since = room->recent_ns > 0 ? room->recent_bytes / room->recent_ns : 0;
    double rate_before = room->recent_rate * RATE_DECAY;
    room->recent_bytes = room->recent_ns = 0;
    room->recent_rate = rate_since > rate_before ? rate_since : rate_before;
    room->crowded = room->smallest_ns > 2 * TARGET_MS * MS && room->recent_rate > 3 * rate;
    room->limit = bounded(room, (double)room->limit);
}

/* Takes account of the bytes that left the kernel since the last measurement. */
static void account(struct sendroom *room, size_t left_bytes, int64_t busy_ns) {
    bool idle = room->queued == 0;
    if (room->saved_limit && room->probe_sent) {
        room->probe_bytes += left_bytes;
        room->probe_busy_ns += busy_ns;
        if (room->probe_bytes >= SMALLEST_LIMIT || (idle && room->probe_bytes))
            end_probe(room);
    } else if (!idle) {
        room->left_bytes += left_bytes;
        room->busy_ns += busy_ns;
        if (!room->saved_limit)
            update_limit(room);
    } else if (room->full && !room->saved_limit) { /* it ran dry before we were back */
        room->limit = bounded(room, 2.0 * (double)room->limit);
        room->left_bytes = 0;
        room->busy_ns = 0;
    }
}

/* -- events */

void sendroom_before_send(struct sendroom *room, size_t queued, int64_t now_ns) {
    size_t left_bytes = room->queued > queued ? room->queued - queued : 0;
    room->measured = false;
    room->queued = queued;
    account(room, left_bytes, now_ns - room->measured_ns);
}

void sendroom_after_send(struct sendroom *room, size_t queued, int64_t now_ns) {
    room->measured = true;
    room->queued = queued;
    room->measured_ns = now_ns;
}

void sendroom_refused(struct sendroom *room, size_t queued, int64_t now_ns) {
    sendroom_after_send(room, queued, now_ns);
    room->full = true;
    if (!room->saved_limit && now_ns >= room->next_probe_ns)
        start_probe(room, now_ns);
}

/* Doubles the limit when more was sent than the rate behind it explains: the link has become faster. A link
 * that takes everything at once never refuses, so nothing else would notice, and batches would stay small. */
static void notice_faster_link(struct sendroom *room, size_t bytes, int64_t now_ns) {
    if (room->full || now_ns - room->window_start_ns > WINDOW_MS * MS) {
        room->window_start_ns = now_ns;
        room->window_bytes = 0;
    }
    room->window_bytes += bytes;
    double expected = (double)room->limit * (2 + (double)(now_ns - room->window_start_ns) / (TARGET_MS * MS));
    if (!room->saved_limit && room->limit < START_LIMIT && (double)room->window_bytes > expected) {
        room->limit = bounded(room, 2.0 * (double)room->limit);
        room->window_start_ns = now_ns;
        room->window_bytes = 0;
    }
}

bool sendroom_sent(struct sendroom *room, size_t bytes, int64_t now_ns) {
    notice_faster_link(room, bytes, now_ns);
    room->full = false;
    room->probe_sent = true;
    return room->saved_limit || now_ns - room->measured_ns >= MEASURE_EVERY_MS * MS;
}
