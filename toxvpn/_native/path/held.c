#include "held.h"

#include <stdlib.h>

enum { WAYS = 4 }; /* the segments among which a flow's can be */

enum worth { BEGINS, ACKNOWLEDGES, HAS_DATA, RESETS };

struct segment {
    uint32_t kept_s; /* since when there is one of this flow */
    uint16_t length;
    uint8_t worth;
    uint8_t data[];
};

struct held {
    size_t from; /* there are none before this one */
    struct segment *segments[HELD_FLOWS];
};

static size_t bytes_of(const struct segment *segment) { return sizeof *segment + segment->length; }

static uint64_t mixed(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
    return hash ^ hash >> 32;
}

/* The first of the WAYS. */
static size_t place_of(const struct packet *segment) {
    uint64_t words[4] = {0}, hash = load32(segment->ip + segment->transport);
    memcpy(words, segment->source, 2 * address_bytes(segment->version));
    for (int i = 0; i < 4; i++)
        hash = mixed(hash, words[i]);
    return (size_t)hash % (HELD_FLOWS / WAYS) * WAYS;
}

static bool is_same_flow(const struct packet *one, struct segment *held) {
    struct packet other;
    return packet_parse(&other, held->data, held->length, true) && one->version == other.version &&
           memcmp(one->source, other.source, 2 * address_bytes(one->version)) == 0 &&
           load32(one->ip + one->transport) == load32(other.ip + other.transport);
}

static enum worth worth_of(const struct packet *segment) {
    const uint8_t *tcp = segment->ip + segment->transport;
    size_t header = (size_t)(tcp[12] >> 4) * 4;
    if (tcp[13] & TCP_SYN)
        return BEGINS;
    if (tcp[13] & TCP_RST)
        return RESETS;
    return tcp[13] & TCP_FIN || segment->length > segment->transport + header ? HAS_DATA : ACKNOWLEDGES;
}

static void forget(struct segment **place, size_t *bytes) {
    if (*place == NULL)
        return;
    *bytes -= bytes_of(*place);
    free(*place);
    *place = NULL;
}

/* The place of the flow; else a free one among the WAYS, or the first of them. */
static struct segment **find(struct held *held, const struct packet *segment) {
    struct segment **ways = &held->segments[place_of(segment)], **place = ways;
    for (size_t way = WAYS; way-- > 0;) {
        if (ways[way] == NULL)
            place = &ways[way];
        else if (is_same_flow(segment, ways[way]))
            return &ways[way];
    }
    return place;
}

void held_keep(struct held **held, size_t *bytes, const struct packet *segment, uint32_t now_s) {
    if (segment->protocol != PROTOCOL_TCP || segment->fragment || segment->length > HELD_LARGEST ||
        segment->length < (size_t)segment->transport + TCP_HEADER)
        return;
    enum worth worth = worth_of(segment);
    if (*held == NULL && (worth == BEGINS || (*held = calloc(1, sizeof **held)) == NULL))
        return;
    struct segment **place = find(*held, segment);
    bool known = *place != NULL && is_same_flow(segment, *place);
    if (worth == BEGINS ? !known : known && worth < (*place)->worth)
        return;
    uint32_t since_s = known ? (*place)->kept_s : now_s;
    forget(place, bytes);
    size_t room = sizeof **place + segment->length;
    if (worth == BEGINS || *bytes + room > HELD_BYTES || (*place = malloc(room)) == NULL)
        return;
    (*place)->kept_s = since_s;
    (*place)->length = (uint16_t)segment->length;
    (*place)->worth = (uint8_t)worth;
    memcpy((*place)->data, segment->ip, segment->length);
    *bytes += room;
    (*held)->from = 0;
}

size_t held_take(struct held **held, size_t *bytes, uint8_t *into, uint32_t now_s, uint32_t least_s) {
    for (; *held != NULL && (*held)->from < HELD_FLOWS; (*held)->from++) {
        struct segment **place = &(*held)->segments[(*held)->from];
        if (*place == NULL || now_s - (*place)->kept_s < least_s)
            continue;
        size_t length = (*place)->length;
        memcpy(into, (*place)->data, length);
        forget(place, bytes);
        return length;
    }
    held_free(held, bytes);
    return 0;
}

void held_free(struct held **held, size_t *bytes) {
    if (*held == NULL)
        return;
    for (size_t at = 0; at < HELD_FLOWS; at++)
        forget(&(*held)->segments[at], bytes);
    free(*held);
    *held = NULL;
}
