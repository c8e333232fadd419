/* Nodes that have an address of each family. A friend names its relays by the addresses that it uses itself; where
 * this machine has no way there, and the node has another address, libtoxcore connects to that one. Whether the
 * right node is there, the node's key has to prove, as ever. Neighbours: sockets.c, tox/reach/twins.py, which knows them. */
#ifndef TOXVPN_TWINS_H
#define TOXVPN_TWINS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

enum { TWINS_MOST = 256 };

struct twin {
    struct in_addr ipv4;
    struct in6_addr ipv6;
};

struct twins {
    struct twin *all;
    size_t count;
};

/* False: the texts are no such addresses, or there are too many already, or no memory. */
bool twins_add(struct twins *twins, const char *ipv4, const char *ipv6);
void twins_free(struct twins *twins);
/* The node's address of the other family, with the same port. Returns its length, 0: there is none. */
socklen_t twins_other(const struct twins *twins, const struct sockaddr *at, struct sockaddr_storage *out);

#endif
