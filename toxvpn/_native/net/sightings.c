/* A table of few keys, searched one by one: only DHT requests are looked at, which are rare. */
#include "sightings.h"
#include "kernel.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

/* Who forges a source has us send 113 bytes there (a request for nodes), and is to gain little by it: so nothing
 * is noted that is shorter than the shorter of both requests. */
enum { PING_REQUEST = 0, GET_NODES = 2, SHORTEST = 82 }; /* libtoxcore's NET_PACKET_…, and bytes */
#define DOUBTED_AGAIN_NS INT64_C(100000000)

static struct sighting *among(struct sighting *all, size_t count, const uint8_t *key) {
    for (size_t i = 0; i < count; i++)
        if (memcmp(all[i].key, key, SIGHTINGS_KEY_BYTES) == 0)
            return &all[i];
    return NULL;
}

static struct sighting *find(struct sightings *sightings, const uint8_t *key) {
    return among(sightings->watched, sightings->count, key);
}

static void start(struct sighting *sighting, const uint8_t *key) {
    memset(sighting, 0, sizeof *sighting);
    memcpy(sighting->key, key, SIGHTINGS_KEY_BYTES);
}

/* The asker's entry among those that are not watched; in place of the oldest where it has none. */
static struct sighting *other(struct sightings *sightings, const uint8_t *key) {
    struct sighting *found = among(sightings->others, SIGHTINGS_OTHERS, key);
    if (!found) {
        found = &sightings->others[sightings->next];
        sightings->next = (sightings->next + 1) % SIGHTINGS_OTHERS;
        start(found, key);
    }
    return found;
}

bool sightings_watched(struct sightings *sightings, const uint8_t *key) {
    return find(sightings, key) != NULL;
}

bool sightings_watch(struct sightings *sightings, const uint8_t *key) {
    if (find(sightings, key))
        return true;
    if (sightings->count == SIGHTINGS_MOST)
        return false;
    struct sighting *more = realloc(sightings->watched, (sightings->count + 1) * sizeof *more);
    if (!more)
        return false;
    sightings->watched = more;
    more += sightings->count++;
    start(more, key);
    struct sighting *before = among(sightings->others, SIGHTINGS_OTHERS, key);
    if (before) {
        *more = *before;
        memset(before, 0, sizeof *before);
        sightings->any = true;
    }
    return true;
}

void sightings_forget(struct sightings *sightings, const uint8_t *key) {
    struct sighting *found = find(sightings, key);
    if (found)
        *found = sightings->watched[--sightings->count];
}

void sightings_free(struct sightings *sightings) {
    free(sightings->watched);
    memset(sightings, 0, sizeof *sightings);
}

bool sightings_same_place(const struct sockaddr_storage *a, const struct sockaddr *b) {
    if (a->ss_family != b->sa_family)
        return false;
    if (b->sa_family == AF_INET) {
        const struct sockaddr_in *x = (const void *)a, *y = (const void *)b;
        return x->sin_port == y->sin_port && x->sin_addr.s_addr == y->sin_addr.s_addr;
    }
    const struct sockaddr_in6 *x = (const void *)a, *y = (const void *)b;
    return x->sin6_port == y->sin6_port && memcmp(&x->sin6_addr, &y->sin6_addr, sizeof x->sin6_addr) == 0;
}

/* On a socket for both, IPv4 comes as a mapped IPv6 address. */
static bool is_ipv6(const struct sockaddr *from) {
    return from->sa_family == AF_INET6 &&
           !IN6_IS_ADDR_V4MAPPED(&((const struct sockaddr_in6 *)(const void *)from)->sin6_addr);
}

void sightings_note(struct sightings *sightings, const uint8_t *datagram, size_t length,
                    const struct sockaddr *from) {
    if (length < SHORTEST || !from)
        return;
    if (datagram[0] != PING_REQUEST && datagram[0] != GET_NODES)
        return;
    if (from->sa_family != AF_INET && from->sa_family != AF_INET6)
        return;
    struct sighting *watched = find(sightings, datagram + 1);
    struct sighting *found = watched ? watched : other(sightings, datagram + 1);
    const bool family = is_ipv6(from);
    if (sightings_same_place(&found->from[family], from))
        return;
    const size_t size = from->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    memcpy(&found->from[family], from, size);
    found->fresh[family] = true;
    sightings->any |= watched != NULL;
}

static bool doubt(struct sightings *sightings, struct sighting *all, size_t count,
                  const struct sockaddr *from) {
    const bool family = is_ipv6(from);
    for (size_t i = 0; i < count; i++) {
        if (!sightings_same_place(&all[i].from[family], from))
            continue;
        const int64_t now = netio_now_ns();
        if (!all[i].doubted_ns || now - all[i].doubted_ns >= DOUBTED_AGAIN_NS) {
            all[i].doubted_ns = now;
            all[i].doubted[family] = sightings->any = true;
        }
        return true;
    }
    return false;
}

bool sightings_doubt(struct sightings *sightings, const struct sockaddr *from) {
    return doubt(sightings, sightings->watched, sightings->count, from) ||
           doubt(sightings, sightings->others, SIGHTINGS_OTHERS, from);
}

static bool take(struct sighting *all, size_t count, bool watched, uint8_t *key,
                 struct sockaddr_storage *from) {
    for (size_t i = 0; i < count; i++)
        for (int family = 0; family < 2; family++) {
            if (!all[i].doubted[family] && !(watched && all[i].fresh[family]))
                continue;
            all[i].doubted[family] = all[i].fresh[family] = false;
            memcpy(key, all[i].key, SIGHTINGS_KEY_BYTES);
            *from = all[i].from[family];
            return true;
        }
    return false;
}

bool sightings_take(struct sightings *sightings, uint8_t *key, struct sockaddr_storage *from) {
    sightings->any = sightings->any && (take(sightings->watched, sightings->count, true, key, from) ||
                                        take(sightings->others, SIGHTINGS_OTHERS, false, key, from));
    return sightings->any;
}

uint16_t sightings_place(const struct sockaddr_storage *at, char *host) {
    const struct sockaddr_in *ipv4 = (const void *)at;
    const struct sockaddr_in6 *ipv6 = (const void *)at;
    if (at->ss_family != AF_INET && at->ss_family != AF_INET6)
        return 0;
    if (at->ss_family == AF_INET)
        inet_ntop(AF_INET, &ipv4->sin_addr, host, SIGHTINGS_HOST_BYTES);
    else if (is_ipv6((const struct sockaddr *)at))
        inet_ntop(AF_INET6, &ipv6->sin6_addr, host, SIGHTINGS_HOST_BYTES);
    else
        inet_ntop(AF_INET, &ipv6->sin6_addr.s6_addr[12], host, SIGHTINGS_HOST_BYTES);
    return ntohs(at->ss_family == AF_INET ? ipv4->sin_port : ipv6->sin6_port);
}

bool sightings_at(const char *host, uint16_t port, struct sockaddr_in6 *out) {
    memset(out, 0, sizeof *out);
    out->sin6_family = AF_INET6;
    out->sin6_port = htons(port);
    if (inet_pton(AF_INET6, host, &out->sin6_addr) == 1)
        return true;
    out->sin6_addr.s6_addr[10] = out->sin6_addr.s6_addr[11] = 0xff;
    return inet_pton(AF_INET, host, &out->sin6_addr.s6_addr[12]) == 1;
}
