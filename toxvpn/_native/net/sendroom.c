#include "sendroom.h"

static const int64_t MS = 1000000;
static const double FADES = 0.75; /* a rate that was seen, from one try of the least to the next */

enum {
    START = 256 << 10,   /* what any socket may have */
    LEAST = 4608,        /* what the kernel grants at least: two datagrams */
    CROWDED = 128 << 10, /* as TCP, by its small queues: two packets of 64 kB */
    PIECES = 3,
    STANDING_MS = 8,  /* of these, half is left when the kernel says "room": enough to wake up */
    JUDGED_MS = 2,    /* busy for so long, a link has shown its rate */
    LOOKS_MS = 1,     /* apart, while there is room */
    LEASTS_MS = 3000, /* apart */
    WINDOW_MS = 32,
};

static size_t bounded(const struct sendroom *room, double limit) {
    double least = room->crowded ? CROWDED : LEAST;
    if (limit < least)
        limit = least;
    return limit < (double)room->ceiling ? (size_t)limit : room->ceiling;
}

void sendroom_start(struct sendroom *room, size_t ceiling) {
    *room = (struct sendroom){.ceiling = ceiling};
    room->limit = bounded(room, START);
}

size_t sendroom_piece(const struct sendroom *room) { return room->limit / PIECES; }

/* -- the limit */

static int64_t clamp(int64_t value, int64_t least, int64_t most) {
    return value < least ? least : value < most ? value : most;
}

static void judge(struct sendroom *room) {
    if (room->busy_ns < JUDGED_MS * MS)
        return;
    double rate = (double)room->gone / (double)room->busy_ns, now = (double)room->limit;
    double limit = rate * (double)clamp(room->least_ns * 3 / 2, STANDING_MS * MS, 3 * STANDING_MS * MS);
    room->lately_gone += (double)room->gone;
    room->lately_ns += (double)room->busy_ns;
    /* fast up, or the link would idle; half-way down, as a short look is a sample of a bursty process */
    bool believed = limit > now || room->busy_ns >= 4 * STANDING_MS * MS;
    room->limit = bounded(room, believed ? limit : (limit + now) / 2);
    room->gone = 0;
    room->busy_ns = 0;
}

static void try_least(struct sendroom *room, int64_t now_ns) {
    room->kept_limit = room->limit;
    room->limit = LEAST;
    room->new_ones = false;
    room->least_gone = 0;
    room->least_busy_ns = 0;
    room->try_least_ns = now_ns + LEASTS_MS * MS;
}

static void end_least(struct sendroom *room) {
    double rate = (double)room->least_gone / (double)room->least_busy_ns;
    room->least_ns = (int64_t)(LEAST / rate);
    room->limit = room->kept_limit;
    room->kept_limit = 0;
    judge(room); /* what has left before counts */
    double lately = room->lately_ns > 0 ? room->lately_gone / room->lately_ns : 0;
    room->lately_gone = room->lately_ns = 0;
    room->lately = lately > room->lately * FADES ? lately : room->lately * FADES;
    room->crowded = room->least_ns > 2 * STANDING_MS * MS && room->lately > 3 * rate;
    room->limit = bounded(room, (double)room->limit);
}

/* Since the last look so much has left, in that time. */
static void learn(struct sendroom *room, size_t gone, int64_t busy_ns) {
    bool dry = room->standing == 0;
    if (room->kept_limit && room->new_ones) {
        room->least_gone += gone;
        room->least_busy_ns += busy_ns;
        if (room->least_gone >= LEAST || (dry && room->least_gone))
            end_least(room);
    } else if (!dry) {
        room->gone += gone;
        room->busy_ns += busy_ns;
        if (!room->kept_limit)
            judge(room);
    } else if (room->full && !room->kept_limit) { /* we came too late */
        room->limit = bounded(room, 2.0 * (double)room->limit);
        room->gone = 0;
        room->busy_ns = 0;
    }
}

/* -- what happens */

void sendroom_before(struct sendroom *room, size_t standing, int64_t now_ns) {
    size_t gone = room->standing > standing ? room->standing - standing : 0;
    room->looking = false;
    room->standing = standing;
    learn(room, gone, now_ns - room->looked_ns);
}

void sendroom_after(struct sendroom *room, size_t standing, int64_t now_ns) {
    room->looking = true;
    room->standing = standing;
    room->looked_ns = now_ns;
}

void sendroom_refused(struct sendroom *room, size_t standing, int64_t now_ns) {
    sendroom_after(room, standing, now_ns);
    room->full = true;
    if (!room->kept_limit && now_ns >= room->try_least_ns)
        try_least(room, now_ns);
}

/* More than the limit allows at the rate that it stands for: the link has become faster. Where it takes
 * everything at once nobody else would notice, and pieces would stay small. */
static void notice_more(struct sendroom *room, size_t bytes, int64_t now_ns) {
    if (room->full || now_ns - room->since_ns > WINDOW_MS * MS) {
        room->since_ns = now_ns;
        room->sent = 0;
    }
    room->sent += bytes;
    double expected = (double)room->limit * (2 + (double)(now_ns - room->since_ns) / (STANDING_MS * MS));
    if (!room->kept_limit && room->limit < START && (double)room->sent > expected) {
        room->limit = bounded(room, 2.0 * (double)room->limit);
        room->since_ns = now_ns;
        room->sent = 0;
    }
}

bool sendroom_sent(struct sendroom *room, size_t bytes, int64_t now_ns) {
    notice_more(room, bytes, now_ns);
    room->full = false;
    room->new_ones = true;
    return room->kept_limit || now_ns - room->looked_ns >= LOOKS_MS * MS;
}
