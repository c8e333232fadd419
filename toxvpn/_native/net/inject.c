#include "inject.h"

#include <stdlib.h>
#include <string.h>

struct injected {
    struct sockaddr_in6 from;
    size_t length;
    uint8_t data[INJECT_LONGEST];
};

struct inject {
    unsigned first, used;
    struct injected ring[INJECT_MOST];
};

bool inject_put(struct inject **ring, const void *data, size_t length, const struct sockaddr_in6 *from) {
    if (!*ring)
        *ring = calloc(1, sizeof **ring);
    struct inject *to = *ring;
    if (!to || to->used == INJECT_MOST || length > INJECT_LONGEST)
        return false;
    struct injected *next = &to->ring[(to->first + to->used++) % INJECT_MOST];
    next->from = *from;
    next->length = length;
    memcpy(next->data, data, length);
    return true;
}

bool inject_left(const struct inject *ring) { return ring && ring->used; }

ssize_t inject_take(struct inject *ring, void *out, size_t room, struct sockaddr *from,
                    socklen_t *from_length) {
    const struct injected *next = &ring->ring[ring->first];
    const size_t taken = next->length < room ? next->length : room;
    memcpy(out, next->data, taken);
    if (from && from_length) {
        memcpy(from, &next->from, *from_length < sizeof next->from ? *from_length : sizeof next->from);
        *from_length = sizeof next->from;
    }
    ring->first =
        --ring->used ? (ring->first + 1) % INJECT_MOST : 0; /* the same memory again is in the cache */
    return (ssize_t)taken;
}

void inject_free(struct inject *ring) { free(ring); }
