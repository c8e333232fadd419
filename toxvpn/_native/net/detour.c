/* A packet of a detour: our ID, an index, flags, and a datagram or a half of one. Towards the friend the index says
 * who gets it; from the friend, who sent it. */
#define _GNU_SOURCE
#include "detour.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
    ROOM = DETOUR_LONGEST_PACKET - DETOUR_HEADER,
    LONGEST = 2 * ROOM < INJECT_LONGEST ? 2 * ROOM : INJECT_LONGEST,
    PART = 3, /* which part of a datagram */
    WHOLE = 0,
    FIRST = 1,
    SECOND = 2,
    UNCUT = 1 << 2,   /* routers may not cut the packet either: it probes how much a path carries */
    ONWARD = 1 << 3,  /* passed on by the friend */
    NUMBER_SHIFT = 4, /* what two halves have in common */
    FIRST_PORT = 1024,
    PORTS = 60000,
    PREFIX = 14, /* bytes of the address; the slot follows */
};

/* Kinds of datagrams of the Tox protocol, their first byte. */
enum { NODES_REQUEST = 2, NODES_RESPONSE = 4, COOKIE_REQUEST = 0x18, COOKIE_RESPONSE, HANDSHAKE, DATA };

struct slot {
    bool used;
    uint8_t index;
    uint8_t number; /* of the last datagram in two halves */
    uint32_t via;
    uint8_t dht_key[DETOUR_KEY_BYTES];
    uint16_t port; /* another one each time that it is opened */
    int64_t open_until_ns;
    int64_t straight_until_ns;
    struct sockaddr_in6 straight;
    struct detour_traffic traffic;
    uint8_t half_number;
    size_t half_length; /* 0: no first half waits */
    uint8_t half[ROOM];
};

struct waiting {
    uint32_t via;
    size_t length;
    uint8_t packet[DETOUR_LONGEST_PACKET];
};

struct detours {
    uint8_t prefix[PREFIX];
    bool closed;
    size_t members;
    uint32_t member_numbers[DETOUR_MEMBERS];
    uint8_t member_indices[DETOUR_MEMBERS];
    unsigned first, used;
    struct slot slots[DETOUR_SLOTS];
    struct waiting ring[DETOUR_WAITING];
};

struct detour_counters detour_counters;

struct detours *detours_new(void) {
    struct detours *all = calloc(1, sizeof *all);
    if (all && getrandom(all->prefix, PREFIX, 0) != PREFIX) {
        free(all);
        return NULL;
    }
    if (all) {
        all->prefix[0] = 0xfe;
        all->prefix[1] = 0xbf;
    }
    return all;
}

void detours_free(struct detours *all) { free(all); }

/* -- the ends ------------------------------------------------------------------------------------- */

void detour_set(struct detours *all, unsigned slot, uint32_t via, uint8_t index, const uint8_t *dht_key) {
    struct slot *set = &all->slots[slot];
    const uint16_t port = set->port;
    memset(set, 0, sizeof *set);
    set->used = true;
    set->port = port;
    set->via = via;
    set->index = index;
    memcpy(set->dht_key, dht_key, DETOUR_KEY_BYTES);
}

void detour_clear(struct detours *all, unsigned slot) { all->slots[slot].used = false; }

void detour_open(struct detours *all, unsigned slot, int64_t until_ns) {
    all->slots[slot].open_until_ns = until_ns;
    all->slots[slot].port++;
}

void detour_straighten(struct detours *all, unsigned slot, const struct sockaddr_in6 *to, int64_t until_ns) {
    all->slots[slot].straight = *to;
    all->slots[slot].straight_until_ns = until_ns;
}

const struct sockaddr_in6 *detour_straight(const struct detours *all, unsigned at, int64_t now_ns) {
    const struct slot *slot = &all->slots[at % DETOUR_SLOTS];
    return slot->used && now_ns < slot->straight_until_ns ? &slot->straight : NULL;
}

void detour_address(const struct detours *all, unsigned slot, struct sockaddr_in6 *out) {
    memset(out, 0, sizeof *out);
    out->sin6_family = AF_INET6;
    out->sin6_port = htons((uint16_t)(FIRST_PORT + all->slots[slot].port % PORTS));
    memcpy(&out->sin6_addr, all->prefix, PREFIX);
    out->sin6_addr.s6_addr[PREFIX] = (uint8_t)(slot >> 8);
    out->sin6_addr.s6_addr[PREFIX + 1] = (uint8_t)slot;
}

struct detour_traffic detour_traffic(const struct detours *all, unsigned slot) {
    return all->slots[slot].traffic;
}

int detour_slot(const struct detours *all, const struct sockaddr *to, socklen_t to_length) {
    const struct sockaddr_in6 *ipv6 = (const void *)to;
    if (!all || !to || to->sa_family != AF_INET6 || to_length < sizeof *ipv6)
        return -1;
    const uint8_t *address = ipv6->sin6_addr.s6_addr;
    return memcmp(address, all->prefix, PREFIX) ? -1 : address[PREFIX] << 8 | address[PREFIX + 1];
}

/* Whether a datagram may pass: all that a connection needs, and nothing of the network that libtoxcore is a part of.
 * A DHT request names its sender's key in the clear, and the friend between is not to bring others. */
static bool passes(const struct slot *slot, const uint8_t *data, size_t length, bool inbound,
                   int64_t now_ns) {
    if (!length)
        return false;
    switch (data[0]) {
    case COOKIE_REQUEST:
    case COOKIE_RESPONSE:
    case HANDSHAKE:
    case DATA: return true;
    case NODES_REQUEST:
        if (!inbound)
            return now_ns < slot->open_until_ns;
        break;
    case NODES_RESPONSE:
        if (!inbound)
            return true;
        break;
    default: return false;
    }
    return length > DETOUR_KEY_BYTES && memcmp(data + 1, slot->dht_key, DETOUR_KEY_BYTES) == 0;
}

static void put(struct detours *all, const struct slot *slot, uint8_t flags, const uint8_t *data,
                size_t length) {
    struct waiting *next = &all->ring[(all->first + all->used++) % DETOUR_WAITING];
    next->via = slot->via;
    next->length = DETOUR_HEADER + length;
    next->packet[0] = DETOUR_PACKET_ID;
    next->packet[1] = slot->index;
    next->packet[2] = flags;
    memcpy(next->packet + DETOUR_HEADER, data, length);
}

/* Lost on the way, as far as libtoxcore can tell. */
static ssize_t drop(uint64_t *counter, size_t length) {
    ++*counter;
    return (ssize_t)length;
}

ssize_t detour_send(struct detours *all, unsigned at, const uint8_t *data, size_t length, bool whole,
                    int64_t now_ns) {
    struct slot *slot = &all->slots[at % DETOUR_SLOTS];
    if (at >= DETOUR_SLOTS || !slot->used)
        return drop(&detour_counters.unknown, length);
    if (all->closed)
        return drop(&detour_counters.nested, length);
    if (!passes(slot, data, length, false, now_ns))
        return drop(&detour_counters.filtered, length);
    if (length > (whole ? ROOM : LONGEST))
        return drop(&detour_counters.too_long, length);
    if (all->used + 2 > DETOUR_WAITING) {
        detour_counters.no_room++;
        errno = EAGAIN;
        return -1;
    }
    if (length <= ROOM) {
        put(all, slot, WHOLE | (whole ? UNCUT : 0), data, length);
    } else {
        const uint8_t number = (uint8_t)(slot->number++ << NUMBER_SHIFT);
        put(all, slot, FIRST | number, data, ROOM);
        put(all, slot, SECOND | number, data + ROOM, length - ROOM);
    }
    if (data[0] == DATA) {
        slot->traffic.sent++;
        slot->traffic.sent_ns = now_ns;
    }
    return (ssize_t)length;
}

bool detour_waits(const struct detours *all) { return all && all->used; }

size_t detour_next(struct detours *all, uint32_t *via, uint8_t packet[DETOUR_LONGEST_PACKET]) {
    if (!detour_waits(all))
        return 0;
    const struct waiting *next = &all->ring[all->first];
    *via = next->via;
    memcpy(packet, next->packet, next->length);
    all->first = --all->used ? (all->first + 1) % DETOUR_WAITING : 0;
    return next->length;
}

void detours_close(struct detours *all, bool closed) {
    if (all)
        all->closed = closed;
}

static struct slot *from_friend(struct detours *all, uint32_t via, uint8_t index) {
    for (unsigned i = 0; all && i < DETOUR_SLOTS; i++)
        if (all->slots[i].used && all->slots[i].via == via && all->slots[i].index == index)
            return &all->slots[i];
    return NULL;
}

static void deliver(struct detours *all, struct slot *slot, const uint8_t *data, size_t length,
                    int64_t now_ns, struct inject **inbox) {
    struct sockaddr_in6 from;
    if (!passes(slot, data, length, true, now_ns)) {
        detour_counters.filtered++;
        return;
    }
    detour_address(all, (unsigned)(slot - all->slots), &from);
    if (!inject_put(inbox, data, length, &from)) {
        detour_counters.no_room++;
        return;
    }
    slot->traffic.asked += data[0] == NODES_REQUEST;
    if (data[0] == DATA) {
        slot->traffic.received++;
        slot->traffic.received_ns = now_ns;
    }
}

static void deliver_halves(struct detours *all, struct slot *slot, uint8_t number, const uint8_t *data,
                           size_t length, int64_t now_ns, struct inject **inbox) {
    uint8_t joined[LONGEST];
    if (!slot->half_length || slot->half_number != number || slot->half_length + length > LONGEST) {
        detour_counters.malformed++;
        return;
    }
    memcpy(joined, slot->half, slot->half_length);
    memcpy(joined + slot->half_length, data, length);
    length += slot->half_length;
    slot->half_length = 0;
    deliver(all, slot, joined, length, now_ns, inbox);
}

void detour_arrived(struct detours *all, uint32_t via, const uint8_t *packet, size_t length, int64_t now_ns,
                    struct inject **inbox) {
    if (length <= DETOUR_HEADER || length > DETOUR_LONGEST_PACKET || (packet[2] & PART) == PART) {
        detour_counters.malformed++;
        return;
    }
    struct slot *slot = from_friend(all, via, packet[1]);
    if (!slot) {
        detour_counters.unknown++;
        return;
    }
    const uint8_t *data = packet + DETOUR_HEADER, number = packet[2] >> NUMBER_SHIFT;
    length -= DETOUR_HEADER;
    switch (packet[2] & PART) {
    case WHOLE: deliver(all, slot, data, length, now_ns, inbox); break;
    case FIRST:
        memcpy(slot->half, data, length);
        slot->half_length = length;
        slot->half_number = number;
        break;
    default: deliver_halves(all, slot, number, data, length, now_ns, inbox);
    }
}

/* -- the friend between --------------------------------------------------------------------------- */

void detour_relay_for(struct detours *all, const uint32_t *numbers, const uint8_t *indices, size_t count) {
    all->members = count < DETOUR_MEMBERS ? count : DETOUR_MEMBERS;
    memcpy(all->member_numbers, numbers, all->members * sizeof *numbers);
    memcpy(all->member_indices, indices, all->members);
}

bool detour_is_onward(const uint8_t *packet, size_t length) {
    return length > DETOUR_HEADER && packet[2] & ONWARD;
}

bool detour_is_whole(const uint8_t *packet) { return packet[2] & UNCUT; }

bool detour_relay(const struct detours *all, uint32_t from, const uint8_t *packet, size_t length,
                  uint32_t *to, uint8_t out[DETOUR_LONGEST_PACKET]) {
    bool known = false, found = false;
    if (!all || length <= DETOUR_HEADER || length > DETOUR_LONGEST_PACKET)
        return false;
    memcpy(out, packet, length);
    out[2] |= ONWARD;
    for (size_t i = 0; i < all->members; i++) {
        if (all->member_numbers[i] == from) {
            known = true;
            out[1] = all->member_indices[i];
        }
        if (all->member_indices[i] == packet[1] && all->member_numbers[i] != from) {
            found = true;
            *to = all->member_numbers[i];
        }
    }
    return known && found;
}
