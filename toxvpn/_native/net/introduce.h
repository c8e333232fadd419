/* Tells a Tox handle where a friend is, as the friend itself would tell it through the onion: its DHT key, and
 * nodes that know it. libtoxcore has no function for that. Neighbours: tox/reach/reunion.py says what is told and sends
 * the datagrams to the handle's own UDP port; wire/reach/introduction.py has the content. */
#ifndef TOXVPN_INTRODUCE_H
#define TOXVPN_INTRODUCE_H

#include <stddef.h>
#include <stdint.h>

enum {
    INTRODUCE_KEY_BYTES = 32,
    INTRODUCE_MOST_KEYS = 8,
    INTRODUCE_MOST_CONTENT = 512,
    INTRODUCE_OVERHEAD = 1 + 24 + 32 + 16 + 32 + 16, /* ID, nonce, passing key, tag, friend's key, tag */
};

/* Returns NULL, or why that is not possible. */
const char *introduce_install(const void *address);

/* Between the two, the public keys that libtoxcore makes in this thread are noted: one of them is what the handle
 * gets its onion packets by. `end` returns how many there are. */
void introduce_begin_keys(void);
size_t introduce_end_keys(uint8_t keys[INTRODUCE_MOST_KEYS][INTRODUCE_KEY_BYTES]);

/* Writes a datagram of `length` + INTRODUCE_OVERHEAD bytes, which only the owner of both keys could have made:
 * `own_secret` is the handle's. Returns its length, 0 where that is not possible. */
size_t introduce(uint8_t *out, const uint8_t *onion_key, const uint8_t *own_secret, const uint8_t *friend_key,
                 const uint8_t *content, size_t length);

#endif
