/* Recognises the datagrams that crash a flawed libtoxcore, by kind and length. Neighbour: hooks.c drops them.
 *
 * GHSA-42vg-9mg3-399f, libtoxcore 0.2.19 to 0.2.22: an onion announce request (kind 0x87) that is longer than
 * an ordinary one carries a group announcement; the answer to it is encrypted into a buffer on the stack that
 * is too small for four group announcements and four nodes. Anybody who knows our DHT key, which is public,
 * can send five of them. Ordinary requests have exactly SHIELD_ORDINARY bytes, and the library itself refuses
 * shorter ones. We are in no groups; all that is lost is that we store announcements of others.
 * docs/decisions/0007-shield.md lists the other ways into libtoxcore, and the other flaws. */
#ifndef TOXVPN_SHIELD_H
#define TOXVPN_SHIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SHIELD_KIND = 0x87,    /* NET_PACKET_ANNOUNCE_REQUEST */
    SHIELD_ORDINARY = 354, /* ANNOUNCE_REQUEST_MIN_SIZE_RECV: 177 bytes of request, 177 of return path */
};

static inline bool shield_refuses(const uint8_t *data, size_t length) {
    return length > SHIELD_ORDINARY && data[0] == SHIELD_KIND;
}

#endif
