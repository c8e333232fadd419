/* IPv4 addresses in a network that has IPv6 alone, and translates (NAT64): a.b.c.d is reached as PREFIX:a.b.c.d (RFC
 * 6052 §2.2, with a prefix of 96 bits). libtoxcore sees the IPv4 address, the kernel the other. Private addresses are not
 * translated: they would be somebody else's (§3.1). Neighbours: hooks.c, sockets.c; tox/reach/nat64.py knows the prefix. */
#ifndef TOXVPN_NAT64_H
#define TOXVPN_NAT64_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum { NAT64_PREFIX_BYTES = 12 };

struct nat64 {
    bool known;
    uint8_t prefix[NAT64_PREFIX_BYTES];
};

/* The prefix is an IPv6 address that ends in 32 bits of zero; "": none. False: it is no such address; nothing has
 * changed. */
bool nat64_set(struct nat64 *nat64, const char *prefix);
/* Where the kernel reaches a socket address. False: there, as it is. */
bool nat64_outside(const struct nat64 *nat64, const struct sockaddr *at, struct sockaddr_in6 *out);
/* Makes the address of a datagram that came the one that libtoxcore knows. A private one stays as it is: nobody out there
 * is to pass for a neighbour. */
void nat64_inside(const struct nat64 *nat64, struct sockaddr *from);

#endif
