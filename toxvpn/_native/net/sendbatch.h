/* Gathers a UDP socket's outgoing datagrams into few system calls. Neighbour: hooks.c. */
#ifndef TOXVPN_SENDBATCH_H
#define TOXVPN_SENDBATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

struct sendbatch;

/* NULL when the kernel has no UDP_SEGMENT, or out of memory: send plainly then.
 * Without `segmentation` datagrams are gathered and bounded the same, and sent one by one. */
struct sendbatch *sendbatch_new(int fd, bool segmentation);
void sendbatch_free(struct sendbatch *batch); /* NULL is fine */
/* As sendto(2); success also means "kept for the next flush". EAGAIN when no more may wait. */
ssize_t sendbatch_put(struct sendbatch *batch, const void *data, size_t length, int flags,
                      const struct sockaddr *to, socklen_t to_length);
void sendbatch_flush(struct sendbatch *batch);
/* Says whether datagrams wait when the kernel has no room, as is usual, or are dropped. Do not change it
 * while something waits. False: something has been dropped since the last change. */
bool sendbatch_may_wait(struct sendbatch *batch, bool may_wait);
/* The largest send buffer of the socket has changed: begins to measure anew (sendroom.h). */
void sendbatch_start_room(struct sendbatch *batch);
/* Whether the kernel had no room at the last try, so that something waits. */
bool sendbatch_blocked(const struct sendbatch *batch);

#endif
