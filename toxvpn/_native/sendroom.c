#include "sendroom.h"

static const int64_t STANDING_NS = 8000000; /* of these, half is left when the kernel says "room": enough to wake up */
static const int64_t JUDGED_NS = 2000000;   /* busy for so long, a link has shown its rate */
static const int64_t WINDOW_NS = 32000000;

enum {
    LEAST = 4608, /* what the kernel grants at least: two datagrams */
    PIECES = 3,
};

static size_t bounded(const struct sendroom *room, double limit) {
    if (limit < LEAST)
        return LEAST;
    return limit < (double)room->ceiling ? (size_t)limit : room->ceiling;
}

void sendroom_start(struct sendroom *room, size_t ceiling) {
    *room = (struct sendroom){.ceiling = ceiling};
    room->limit = bounded(room, SENDROOM_START);
}

static void think_over(struct sendroom *room) {
    if (room->standing == 0) { /* it ran dry before we came again */
        room->limit = bounded(room, 2.0 * (double)room->limit);
    } else if (room->busy_ns >= JUDGED_NS) {
        double wanted = (double)room->gone * (double)STANDING_NS / (double)room->busy_ns;
        /* fast up, or the link would idle; half-way down, as one look is a sample of a bursty process */
        room->limit = bounded(room, wanted > (double)room->limit ? wanted : (wanted + (double)room->limit) / 2);
    } else {
        return;
    }
    room->gone = 0;
    room->busy_ns = 0;
}

void sendroom_look(struct sendroom *room, size_t standing, int64_t now_ns) {
    if (room->full) {
        room->gone += standing < room->standing ? room->standing - standing : 0;
        room->busy_ns += now_ns - room->looked_ns;
    }
    room->standing = standing;
    room->looked_ns = now_ns;
    if (room->full)
        think_over(room);
    room->full = true;
}

/* More than the limit allows at the rate that it stands for: the link has become faster. Where it takes
 * everything at once nobody else would notice, and pieces stay small. */
void sendroom_sent(struct sendroom *room, size_t bytes, int64_t now_ns) {
    if (room->full || now_ns - room->since_ns > WINDOW_NS) {
        room->full = false;
        room->since_ns = now_ns;
        room->sent = 0;
    }
    room->sent += bytes;
    double expected = (double)room->limit * (2 + (double)(now_ns - room->since_ns) / (double)STANDING_NS);
    if (room->limit < SENDROOM_START && (double)room->sent > expected) {
        room->limit = bounded(room, 2.0 * (double)room->limit);
        room->since_ns = now_ns;
        room->sent = 0;
    }
}

size_t sendroom_piece(const struct sendroom *room) { return room->limit / PIECES; }
