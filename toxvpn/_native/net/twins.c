#define _GNU_SOURCE
#include "twins.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

static bool same_ipv4(const struct in_addr *a, const struct in_addr *b) { return a->s_addr == b->s_addr; }

static bool same_ipv6(const struct in6_addr *a, const struct in6_addr *b) {
    return memcmp(a, b, sizeof *a) == 0;
}

static struct twin *with_ipv4(const struct twins *twins, const struct in_addr *ipv4) {
    for (size_t i = 0; i < twins->count; i++)
        if (same_ipv4(&twins->all[i].ipv4, ipv4))
            return &twins->all[i];
    return NULL;
}

static struct twin *with_ipv6(const struct twins *twins, const struct in6_addr *ipv6) {
    for (size_t i = 0; i < twins->count; i++)
        if (same_ipv6(&twins->all[i].ipv6, ipv6))
            return &twins->all[i];
    return NULL;
}

bool twins_add(struct twins *twins, const char *ipv4, const char *ipv6) {
    struct twin pair;
    if (inet_pton(AF_INET, ipv4, &pair.ipv4) != 1 || inet_pton(AF_INET6, ipv6, &pair.ipv6) != 1)
        return false;
    struct twin *known = with_ipv4(twins, &pair.ipv4);
    if (known) {
        *known = pair;
        return true;
    }
    if (!twins->all)
        twins->all = calloc(TWINS_MOST, sizeof *twins->all);
    if (!twins->all || twins->count == TWINS_MOST)
        return false;
    twins->all[twins->count++] = pair;
    return true;
}

void twins_free(struct twins *twins) { free(twins->all); }

socklen_t twins_other(const struct twins *twins, const struct sockaddr *at, struct sockaddr_storage *out) {
    const struct sockaddr_in *at4 = (const void *)at;
    const struct sockaddr_in6 *at6 = (const void *)at;
    struct sockaddr_in *out4 = (void *)out;
    struct sockaddr_in6 *out6 = (void *)out;
    const struct twin *found = NULL;
    memset(out, 0, sizeof *out);
    if (at->sa_family == AF_INET && (found = with_ipv4(twins, &at4->sin_addr))) {
        out6->sin6_family = AF_INET6;
        out6->sin6_port = at4->sin_port;
        out6->sin6_addr = found->ipv6;
        return sizeof *out6;
    }
    if (at->sa_family == AF_INET6 && (found = with_ipv6(twins, &at6->sin6_addr))) {
        out4->sin_family = AF_INET;
        out4->sin_port = at6->sin6_port;
        out4->sin_addr = found->ipv4;
        return sizeof *out4;
    }
    return 0;
}
