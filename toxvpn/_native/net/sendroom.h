/* Limits how much of ours the kernel queues in front of the next datagram, to what the link sends within some
 * milliseconds, whatever its rate. The kernel's default is up to megabytes: seconds on a slow link.
 *
 * Sans-IO. The kernel counts the bytes of a socket until the network card has sent them (SIOCOUTQ), overhead
 * included, and takes no more at the limit (SO_SNDBUF). In: how many bytes are queued, before and after each
 * try to send; out: the limit. Neighbour: sendbatch.c.
 *
 * Others may send over the same link. Where all wait in one queue, a share of the queue is a share of the
 * rate, and a sender that looks at its own delay alone would shrink its share again and again. So every few
 * seconds a probe lets in only the smallest amount. If that takes long to leave, and much longer than at the
 * recent rate, packets of others were in front of it: the link is crowded, and we may queue what a TCP
 * connection may. */
#ifndef TOXVPN_SENDROOM_H
#define TOXVPN_SENDROOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sendroom {
    size_t limit, ceiling;
    bool full; /* the kernel took no more at the last try */

    /* the last measurement; `measured`: nothing has been sent since */
    bool measured;
    size_t queued;
    int64_t measured_ns;

    /* since the limit was last updated: the bytes that left the kernel, and the time in which it had some */
    size_t left_bytes;
    int64_t busy_ns;

    /* bytes per nanosecond up to the last probe, and the bytes and the time for the rate since */
    double recent_rate, recent_bytes, recent_ns;

    /* what the last probe found: how long the smallest amount takes to leave, and whether others are the
     * reason */
    int64_t smallest_ns;
    bool crowded;
    int64_t next_probe_ns;

    /* during a probe: the limit for afterwards (else 0); whether all that is queued was sent since the probe
     * began; and how much of that has left in what time */
    size_t saved_limit;
    bool probe_sent;
    size_t probe_bytes;
    int64_t probe_busy_ns;

    /* the bytes sent since some moment, to notice a faster link */
    int64_t window_start_ns;
    size_t window_bytes;
};

/* `ceiling`: the largest limit that the kernel allows. */
void sendroom_start(struct sendroom *room, size_t ceiling);

/* The kernel is about to be asked. Call it only when `measured` is set. */
void sendroom_before_send(struct sendroom *room, size_t queued, int64_t now_ns);

/* The kernel takes no more. */
void sendroom_refused(struct sendroom *room, size_t queued, int64_t now_ns);

/* The kernel has taken this many bytes. True: call sendroom_after_send() with what is queued now. */
bool sendroom_sent(struct sendroom *room, size_t bytes, int64_t now_ns);
void sendroom_after_send(struct sendroom *room, size_t queued, int64_t now_ns);

/* The most bytes to send at a time, so that the limit means something. */
size_t sendroom_batch_bytes(const struct sendroom *room);

#endif
