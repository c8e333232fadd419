/* Hands out a UDP socket's incoming datagrams, received many per system call. Neighbour: hooks.c. */
#ifndef TOXVPN_RECVBATCH_H
#define TOXVPN_RECVBATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

struct recvbatch;

/* Switches UDP_GRO on. NULL when the kernel has none, or out of memory: receive plainly then. */
struct recvbatch *recvbatch_new(int fd);
void recvbatch_free(struct recvbatch *batch); /* NULL is fine */
/* As recvfrom(2) without flags or with MSG_DONTWAIT. */
ssize_t recvbatch_take(struct recvbatch *batch, void *out, size_t room, int flags, struct sockaddr *from,
                       socklen_t *from_length);
/* The turn ends although there may be more to receive. Looks whether the kernel is about to drop some; if so, the
 * source that has taken most of the time loses its datagrams from now on, until that is over (fairshare.h). */
void recvbatch_turn_over(struct recvbatch *batch);
/* Whether datagrams were received and not handed out yet. */
bool recvbatch_left(const struct recvbatch *batch);

#endif
