/* The answer is as the protocol of Tox has it ("DHT packet", "Nodes response"): ID, the sender's key, a nonce and a
 * box with one byte for how many nodes there are, the nodes, and eight bytes. A node is a byte for the kind of its
 * address, the address, a port and a key. */
#include "overheard.h"

#include <stdlib.h>
#include <string.h>

enum {
    NODES_RESPONSE = 4,
    HEAD_BYTES = 1 + SIGHTINGS_KEY_BYTES + 24, /* ID, key, nonce */
    TAG_BYTES = 16,
    REQUEST_NUMBER_BYTES = 8,
    UDP_IPV4 = 2,
    UDP_IPV6 = 10,
    MOST_NODES = 4,
};

bool overheard_is_answer(const uint8_t *datagram, size_t length) {
    return length > HEAD_BYTES + TAG_BYTES + 1 + REQUEST_NUMBER_BYTES && datagram[0] == NODES_RESPONSE;
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
    if (text_length < 1 + REQUEST_NUMBER_BYTES || text[0] > MOST_NODES)
        return;
    const uint8_t *node = text + 1, *end = text + text_length - REQUEST_NUMBER_BYTES;
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

void overheard_free(struct overheard *overheard) { free(overheard->heard); }
