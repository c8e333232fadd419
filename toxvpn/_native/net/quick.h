/* Which of several relays carries what goes to a friend. libtoxcore takes the first one, in the order in which they came,
 * that takes the packet: one that waits 30 ms a turn before one of a friend's own that answers at once. Here the slower
 * ones refuse such a packet, as a full connection does, and libtoxcore goes on to the quick one.
 *
 * What goes to a friend by a relay begins with the number that the relay has given to that friend; encrypted for the
 * relay, it cannot be told apart any more. So it is noted when it is sealed (boxhook.h). Whom a number stands for shows a
 * roll call: a packet to the friend that every relay refuses, and so says which ones libtoxcore would use, in their order.
 * Neighbours: streamhooks.c asks for each packet, tox/reach/quick.py knows which relays are quick. */
#ifndef TOXVPN_QUICK_H
#define TOXVPN_QUICK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    QUICK_RELAYS = 6, /* the most that libtoxcore uses for a friend */
    QUICK_FRIENDS = 256,
    QUICK_TAIL = 8,
    QUICK_HOLDS_S =
        4, /* so long after a roll call; relays give the number of who is gone to another friend */
};

/* Of a connection to a relay. */
struct standing {
    bool quick; /* for the friend of the next call */
    /* By the number of a friend: until then a quick relay carries what goes there; 0: none does. */
    int64_t passed_over_ns[QUICK_FRIENDS];
    bool carries[QUICK_FRIENDS]; /* this is that one */
};

/* Of an owner: the last packet for a friend, and who has refused it. */
struct roll {
    size_t length;
    uint8_t tail[QUICK_TAIL];
    bool calling;
    bool offered; /* to a quick relay */
    size_t count;
    struct refusal {
        struct standing *by;
        uint8_t friend;
    } refusals[QUICK_RELAYS];
};

/* Whether the connection shall refuse what is sealed now, `length` bytes with what a relay needs. */
bool quick_refuses(struct roll *roll, struct standing *standing, size_t length);
void quick_begin_call(struct roll *roll);
/* From now on the slow ones of those called pass this friend's packets over, if there is a quick one: true. */
bool quick_end_call(struct roll *roll);
/* The connection is no more. */
void quick_forget(struct roll *roll, const struct standing *standing);

#endif
