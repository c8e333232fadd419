/* A bundle: small packets to one friend that were ready together, carried as one packet (docs/wire-format.md §2).
 *
 * What a packet costs toxcore and its encryption hardly depends on its size. Only what one batch has read is
 * joined, so nothing waits for more to come. A bundle of one is a packet as every toxvpn sends it. */
#ifndef TOXVPN_BUNDLE_H
#define TOXVPN_BUNDLE_H

#include "packet.h"

enum {
    BUNDLE_PACKETS = 16,  /* at most: so much work does one packet of a friend make */
    LARGEST_FRAME = 1373, /* bytes: a custom packet of Tox */
};

struct path;

/* The open bundle of a carrier: it is never open between two batches. */
struct bundle {
    struct path *path;
    uint32_t friend_number;
    unsigned packets; /* 0: it is closed */
    uint8_t version;  /* of IP, the same for all of them */
    size_t length;    /* with the frame */
    uint8_t bytes[LARGEST_FRAME];
};

/* Sends a packet with room for a frame before it: into the bundle if it is small and the friend takes bundles, else at
 * once, after those that are in the bundle for the same friend. */
void bundle_send(struct bundle *bundle, struct path *path, uint32_t friend_number,
                 const struct packet *packet);

/* Hands the open bundle to the carrier: at the end of a batch, before the carrier's own flush. */
void bundle_flush(struct bundle *bundle);

/* The bytes of the packet that begins there, by its own header; 0: it is not of that IP version, or longer than
 * `left`. */
size_t bundle_next_untrusted(const uint8_t *ip, size_t left, uint8_t version);

/* Whether packets of that version, and at most BUNDLE_PACKETS of them, fill the bytes. */
bool bundle_adds_up_untrusted(const uint8_t *ip, size_t length, uint8_t version);

#endif
