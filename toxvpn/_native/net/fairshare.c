#include "fairshare.h"

#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

enum {
    MEMORY_NS = 50 * 1000 * 1000, /* after so much work, what was before counts half */
    ALL = 8,
    NEARLY_ALL =
        7, /* beside those who want hardly anything: a flow as fast as it can go loses next to nothing */
    STRANGERS_WEIGHT = 4, /* theirs counts so often: whoever is connected goes before */
    QUARTER = 2,          /* strangers beside those who want more than a sixteenth, weighed */
    HALF = 4,             /* beside those who want more than a sixteenth of the time */
};

/* On a socket for both families, IPv4 comes as a mapped IPv6 address. */
static void address_of(const struct sockaddr_storage *from, uint8_t kind, uint8_t *address) {
    const struct sockaddr_in *ipv4 = (const void *)from;
    const struct sockaddr_in6 *ipv6 = (const void *)from;
    memset(address, 0, 8);
    if (kind != FAIRSHARE_CONNECTED)
        memset(address, 0xff, 8); /* a multicast address, of which nobody sends */
    else if (from->ss_family == AF_INET)
        memcpy(address, &ipv4->sin_addr, 4);
    else if (from->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&ipv6->sin6_addr))
        memcpy(address, &ipv6->sin6_addr.s6_addr[12], 4);
    else if (from->ss_family == AF_INET6)
        memcpy(address, &ipv6->sin6_addr, 8);
}

static size_t find(const struct fairshare *share, const uint8_t *address) {
    size_t i = 0;
    while (i < FAIRSHARE_SOURCES &&
           !(share->sources[i].spent_ns && memcmp(share->sources[i].address, address, 8) == 0))
        i++;
    return i;
}

static struct fairshare_source *least(struct fairshare *share) {
    struct fairshare_source *found = share->sources;
    for (size_t i = 1; i < FAIRSHARE_SOURCES; i++)
        if (share->sources[i].spent_ns < found->spent_ns)
            found = &share->sources[i];
    return found;
}

static void halve(struct fairshare *share) {
    share->spent_ns /= 2;
    for (size_t i = 0; i < FAIRSHARE_SOURCES; i++)
        share->sources[i].spent_ns /= 2;
}

void fairshare_spent(struct fairshare *share, const struct sockaddr_storage *from, uint8_t kind,
                     int64_t spent_ns) {
    uint8_t address[8];
    address_of(from, kind, address);
    size_t at = find(share, address);
    struct fairshare_source *source = at < FAIRSHARE_SOURCES ? &share->sources[at] : least(share);
    if (at == FAIRSHARE_SOURCES) { /* in place of the one that matters least */
        memcpy(source->address, address, 8);
        share->spent_ns -= source->spent_ns;
        source->spent_ns = 0;
    }
    spent_ns *= kind == FAIRSHARE_CONNECTED ? 1 : STRANGERS_WEIGHT;
    source->spent_ns += spent_ns;
    share->spent_ns += spent_ns;
    if (share->spent_ns >= MEMORY_NS)
        halve(share);
}

unsigned fairshare_eighths(const struct fairshare *share, const struct sockaddr_storage *from, uint8_t kind) {
    uint8_t address[8];
    address_of(from, kind, address);
    size_t at = find(share, address);
    const int64_t own = at < FAIRSHARE_SOURCES ? share->sources[at].spent_ns : 0;
    const int64_t others = share->spent_ns - own;
    for (size_t i = 0; i < FAIRSHARE_SOURCES; i++)
        if (i != at && share->sources[i].spent_ns >= own)
            return ALL;
    if (others <= 0)
        return ALL;
    if (others <= own / 16)
        return NEARLY_ALL;
    return kind == FAIRSHARE_CONNECTED ? HALF : QUARTER;
}
