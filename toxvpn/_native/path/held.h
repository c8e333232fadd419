/* The newest TCP segment of each flow to a friend that is offline or says nothing, to be sent as soon as it is
 * back.
 *
 * What is lost TCP repeats, and waits twice as long each time, up to 2 min (RFC 6298 §5.5): a stream would go on
 * only that long after the friend is back. The newest segment is such a repetition. Sent at once, it is
 * answered, and the answer makes its sender go on, whatever kernel or machine that is. The reset of a stream,
 * which is never repeated, arrives as well.
 *
 * Nothing depends on it: what finds no place is repeated by its sender all the same. */
#ifndef TOXVPN_HELD_H
#define TOXVPN_HELD_H

#include "packet.h"

enum {
    HELD_FLOWS = 1024,         /* of one friend, so 1.5 MB */
    HELD_LARGEST = 1500,       /* bytes of a segment */
    HELD_BYTES = 16 * 1048576, /* of memory, for all friends of a path */
    /* So long a friend has said nothing before copies of what is sent to it are held. A copy that is younger
     * when it speaks again is forgotten: that is the answer. It is as old as the first of its flow, for its newest is
     * a repetition, and may be lost as well, a moment before the other side's own repetition arrives. */
    HELD_AFTER_S = 2,
};

struct held;

/* Keeps a copy of a packet if it is a TCP segment and worth more than the one that is held of its flow: a reset
 * most, then data, then an acknowledgement; of equals the newer. A SYN begins a new flow, of which nothing is
 * held. `held` is NULL until the first; `bytes` counts the memory. */
void held_keep(struct held **held, size_t *bytes, const struct packet *segment, uint32_t now_s);

/* Moves one of those that were kept `least_s` ago, or earlier, to `into`, which has room for HELD_LARGEST;
 * returns its length. 0: none is left, and younger ones are forgotten. */
size_t held_take(struct held **held, size_t *bytes, uint8_t *into, uint32_t now_s, uint32_t least_s);

void held_free(struct held **held, size_t *bytes);

#endif
