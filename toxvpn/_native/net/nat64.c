#define _GNU_SOURCE
#include "nat64.h"

#include <arpa/inet.h>
#include <string.h>

static const uint8_t mapped[NAT64_PREFIX_BYTES] = {[10] = 0xff, [11] = 0xff}; /* ::ffff:0:0/96 */

bool nat64_set(struct nat64 *nat64, const char *prefix) {
    static const uint8_t zero[4];
    struct in6_addr whole;
    if (!*prefix) {
        nat64->known = false;
        return true;
    }
    if (inet_pton(AF_INET6, prefix, &whole) != 1 ||
        memcmp(&whole.s6_addr[NAT64_PREFIX_BYTES], zero, sizeof zero) != 0 ||
        memcmp(whole.s6_addr, mapped, sizeof mapped) == 0)
        return false;
    memcpy(nat64->prefix, whole.s6_addr, sizeof nat64->prefix);
    nat64->known = true;
    return true;
}

/* As far as that shows in the address (RFC 6890). */
static bool is_public(const uint8_t ipv4[4]) {
    return ipv4[0] != 0 && ipv4[0] != 10 && ipv4[0] != 127 && ipv4[0] < 224 &&
           !(ipv4[0] == 100 && ipv4[1] >= 64 && ipv4[1] < 128) && !(ipv4[0] == 169 && ipv4[1] == 254) &&
           !(ipv4[0] == 172 && ipv4[1] >= 16 && ipv4[1] < 32) && !(ipv4[0] == 192 && ipv4[1] == 168);
}

/* The address and the port of an IPv4 destination; NULL: it is none. */
static const uint8_t *ipv4_of(const struct sockaddr *at, in_port_t *port) {
    const struct sockaddr_in *at4 = (const void *)at;
    const struct sockaddr_in6 *at6 = (const void *)at;
    if (at->sa_family == AF_INET) {
        *port = at4->sin_port;
        return (const uint8_t *)&at4->sin_addr;
    }
    if (at->sa_family != AF_INET6 || memcmp(&at6->sin6_addr, mapped, sizeof mapped) != 0)
        return NULL;
    *port = at6->sin6_port;
    return &at6->sin6_addr.s6_addr[NAT64_PREFIX_BYTES];
}

bool nat64_outside(const struct nat64 *nat64, const struct sockaddr *at, struct sockaddr_in6 *out) {
    in_port_t port = 0;
    const uint8_t *ipv4 = nat64->known && at ? ipv4_of(at, &port) : NULL;
    if (!ipv4 || !is_public(ipv4))
        return false;
    *out = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = port};
    memcpy(out->sin6_addr.s6_addr, nat64->prefix, sizeof nat64->prefix);
    memcpy(&out->sin6_addr.s6_addr[NAT64_PREFIX_BYTES], ipv4, 4);
    return true;
}

void nat64_inside(const struct nat64 *nat64, struct sockaddr *from) {
    struct sockaddr_in6 *from6 = (void *)from;
    if (nat64->known && from && from->sa_family == AF_INET6 &&
        memcmp(&from6->sin6_addr, nat64->prefix, sizeof nat64->prefix) == 0 &&
        is_public(&from6->sin6_addr.s6_addr[NAT64_PREFIX_BYTES]))
        memcpy(&from6->sin6_addr, mapped, sizeof mapped);
}
