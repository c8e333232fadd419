/* Gathers a UDP socket's outgoing datagrams into few system calls. Neighbour: hooks.c. */
#ifndef TOXVPN_SENDBATCH_H
#define TOXVPN_SENDBATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

struct sendbatch;

/* NULL when the kernel has no UDP_SEGMENT, or no memory is left: send plainly then.
   Without `segmentation` all is gathered and bounded the same, and sent one by one. */
struct sendbatch *sendbatch_new(int fd, bool segmentation);
void sendbatch_free(struct sendbatch *batch); /* NULL is fine */
/* As sendto(2); success also means "kept for the next flush". EAGAIN when the wait is full. */
ssize_t sendbatch_put(struct sendbatch *batch, const void *data, size_t length, int flags,
                      const struct sockaddr *to, socklen_t to_length);
void sendbatch_flush(struct sendbatch *batch);
/* Whether what the kernel has no room for waits for some, as is usual; else it is dropped. Not to be changed
   while something waits. False: something has been dropped since the last change. */
bool sendbatch_may_wait(struct sendbatch *batch, bool may_wait);
/* What the socket may send from has changed: the room is measured anew from there (sendroom.h). */
void sendbatch_start_room(struct sendbatch *batch);
/* The kernel took no more at the last try; something is waiting. */
bool sendbatch_blocked(const struct sendbatch *batch);

#endif
