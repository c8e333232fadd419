/* How much of ours may stand in the kernel, in front of the next datagram: what leaves within some
 * milliseconds, whatever the link's rate. The default would be up to megabytes, seconds on a slow link.
 *
 * Sans-IO. The kernel counts a socket's datagrams until the network card has sent them (SIOCOUTQ), and takes
 * no more at the limit (SO_SNDBUF); "bytes" are as it counts, overhead included. In: how many there are, before
 * and after a try to send; out: the limit. Neighbour: sendbatch.c.
 *
 * Others may send over the same link. Where all stand in one queue, a share of it is a share of the rate, and
 * who looks at its own delay alone would shrink and shrink. So now and then only the least is let in. If that
 * takes long to leave, and much longer than at the rate that was seen lately, it stands behind others; then
 * we may have what a TCP connection has there. */
#ifndef TOXVPN_SENDROOM_H
#define TOXVPN_SENDROOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sendroom {
    size_t limit, ceiling;
    bool full; /* the kernel takes no more */
    /* the last look, if nothing has been sent since, and what has left since the limit was last thought over */
    bool looking;
    size_t standing;
    int64_t looked_ns, busy_ns;
    size_t gone;
    /* the rate (bytes/ns) that was seen lately, and what has left since the least was tried last */
    double lately, lately_gone, lately_ns;
    /* how long the least takes to leave, whether that is others' doing, and when to find out again */
    int64_t least_ns, try_least_ns;
    bool crowded;
    /* meanwhile: the limit for later (else 0), whether the kernel has only new ones, and what has left of them */
    size_t kept_limit;
    bool new_ones;
    size_t least_gone;
    int64_t least_busy_ns;
    /* what has been sent since when */
    int64_t since_ns;
    size_t sent;
};

/* `ceiling`: what the kernel allows. */
void sendroom_start(struct sendroom *room, size_t ceiling);

/* The kernel is about to be asked: to be told with `looking`. */
void sendroom_before(struct sendroom *room, size_t standing, int64_t now_ns);

/* It takes no more. */
void sendroom_refused(struct sendroom *room, size_t standing, int64_t now_ns);

/* It has taken so many bytes; true: sendroom_after() is to be told what is standing now. */
bool sendroom_sent(struct sendroom *room, size_t bytes, int64_t now_ns);
void sendroom_after(struct sendroom *room, size_t standing, int64_t now_ns);

/* Bytes at a time, so that the limit means something. */
size_t sendroom_piece(const struct sendroom *room);

#endif
