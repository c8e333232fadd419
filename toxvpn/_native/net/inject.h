/* Datagrams for libtoxcore that did not come through its own socket: hooks.c hands them to it before what the kernel
 * has. A ring, made when the first one comes. Neighbour: detour.c. */
#ifndef TOXVPN_INJECT_H
#define TOXVPN_INJECT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    INJECT_MOST = 256,    /* datagrams; one batch brings fewer */
    INJECT_LONGEST = 2048 /* MAX_UDP_PACKET_SIZE, the room that libtoxcore has for one */
};

struct inject;

/* False: it is too long, too many wait, or out of memory. `from`: IPv4 addresses mapped into IPv6, as on a socket for
 * both. */
bool inject_put(struct inject **ring, const void *data, size_t length, const struct sockaddr_in6 *from);
bool inject_left(const struct inject *ring); /* NULL is fine, as below */
/* The oldest one, cut to the room, as recvfrom(2). Only while there is one. */
ssize_t inject_take(struct inject *ring, void *out, size_t room, struct sockaddr *from,
                    socklen_t *from_length);
void inject_free(struct inject *ring);

#endif
