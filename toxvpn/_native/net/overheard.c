/* The answer is as the protocol of Tox has it ("DHT packet", "Nodes response"): ID, the sender's key, a nonce and a
 * box with one byte for how many nodes there are, the nodes, and the number of the request. A node is a byte for the kind of its
 * address, the address, a port and a key. */
#include "overheard.h"

#include <stdlib.h>
#include <string.h>

enum {
    NODES_REQUEST = 2,
    NODES_RESPONSE = 4,
    HEAD_BYTES = 1 + SIGHTINGS_KEY_BYTES + 24, /* ID, key, nonce */
    TAG_BYTES = 16,
    UDP_IPV4 = 2,
    UDP_IPV6 = 10,
    MOST_NODES = 4,
};

struct asked {
    uint8_t number[OVERHEARD_NUMBER_BYTES];
    struct sockaddr_storage to; /* AF_UNSPEC: it has answered */
};

void overheard_asking(struct overheard *overheard, const uint8_t *text) {
    memcpy(overheard->number, text + SIGHTINGS_KEY_BYTES, OVERHEARD_NUMBER_BYTES);
    overheard->asking = true;
}

void overheard_sent(struct overheard *overheard, const uint8_t *datagram, size_t length,
                    const struct sockaddr *to) {
    if (!overheard->asking || length != HEAD_BYTES + OVERHEARD_REQUEST_BYTES + TAG_BYTES ||
        datagram[0] != NODES_REQUEST || !to)
        return;
    overheard->asking = false;
    if (!overheard->asked && !(overheard->asked = calloc(OVERHEARD_ASKED, sizeof *overheard->asked)))
        return;
    struct asked *asked = &overheard->asked[overheard->next];
    overheard->next = (overheard->next + 1) % OVERHEARD_ASKED;
    const size_t size = to->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    memset(asked, 0, sizeof *asked);
    memcpy(asked->number, overheard->number, OVERHEARD_NUMBER_BYTES);
    memcpy(&asked->to, to, size);
}

/* Whether that is the number of a request to that place, which has not been answered yet. */
static bool was_asked(struct overheard *overheard, const uint8_t *number,
                      const struct sockaddr_storage *teller) {
    for (size_t i = 0; overheard->asked && i < OVERHEARD_ASKED; i++) {
        struct asked *asked = &overheard->asked[i];
        if (memcmp(asked->number, number, OVERHEARD_NUMBER_BYTES) == 0 &&
            sightings_same_place(&asked->to, (const struct sockaddr *)teller)) {
            asked->to.ss_family = AF_UNSPEC;
            return true;
        }
    }
    return false;
}

bool overheard_is_answer(const uint8_t *datagram, size_t length) {
    return length > HEAD_BYTES + TAG_BYTES + 1 + OVERHEARD_NUMBER_BYTES && datagram[0] == NODES_RESPONSE;
}

static size_t address_bytes(uint8_t kind) { return kind == UDP_IPV4 ? 4 : kind == UDP_IPV6 ? 16 : 0; }

static void keep(struct overheard *overheard, const uint8_t *node, const struct sockaddr_storage *teller) {
    if (!overheard->heard && !(overheard->heard = calloc(OVERHEARD_MOST, sizeof *overheard->heard)))
        return;
    if (overheard->count == OVERHEARD_MOST)
        return;
    struct heard *heard = &overheard->heard[overheard->count++];
    *heard = (struct heard){.at.sin_family = AF_INET, .teller = *teller};
    memcpy(&heard->at.sin_addr, node + 1, 4);
    memcpy(&heard->at.sin_port, node + 5, 2);
    memcpy(heard->key, node + 7, SIGHTINGS_KEY_BYTES);
}

void overheard_note(struct overheard *overheard, struct sightings *watched, const uint8_t *text,
                    size_t text_length, const struct sockaddr_storage *teller) {
    if (text_length < 1 + OVERHEARD_NUMBER_BYTES || text[0] > MOST_NODES)
        return;
    const uint8_t *node = text + 1, *end = text + text_length - OVERHEARD_NUMBER_BYTES;
    if (!was_asked(overheard, end, teller))
        return;
    for (unsigned left = text[0]; left && node < end; left--) {
        const size_t address = address_bytes(node[0]), whole = 1 + address + 2 + SIGHTINGS_KEY_BYTES;
        if (address == 0 || (size_t)(end - node) < whole)
            return;
        if (node[0] == UDP_IPV4 && sightings_watched(watched, node + 7))
            keep(overheard, node, teller);
        node += whole;
    }
}

bool overheard_take(struct overheard *overheard, struct heard *out) {
    if (!overheard->count)
        return false;
    *out = overheard->heard[--overheard->count];
    return true;
}

void overheard_free(struct overheard *overheard) {
    free(overheard->heard);
    free(overheard->asked);
}
