/* What the owner of a Tox ID is told through the onion comes as the protocol of Tox has it (The Tox Reference,
 * "Onion data response"): the ID, a nonce, a passing public key, and a box for the key that the node announces
 * itself with; in that box the sender's public key, and a box from the sender to the node, of the same nonce.
 * A box has no author: the key of the inner one follows from our secret key and the friend's public key, for us as
 * for the friend. So a node can write to itself what its friend would write to it, and to nobody else. */
#define _GNU_SOURCE
#include "introduce.h"
#include "importpatch.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <string.h>

enum { PACKET_ID = 0x86, NONCE_BYTES = 24, TAG_BYTES = 16 };

static int (*real_scalarmult_base)(unsigned char *out, const unsigned char *secret);
static int (*box)(unsigned char *out, const unsigned char *text, unsigned long long length,
                  const unsigned char *nonce, const unsigned char *public_key, const unsigned char *secret);
static int (*new_pair)(unsigned char *public_key, unsigned char *secret);
static void (*random_bytes)(void *out, size_t length);
static void (*wipe)(void *memory, size_t length);
static bool installed;

static _Thread_local struct {
    bool noting;
    size_t count;
    uint8_t keys[INTRODUCE_MOST_KEYS][INTRODUCE_KEY_BYTES];
} made;

static void note(const unsigned char *public_key) {
    if (made.noting && made.count < INTRODUCE_MOST_KEYS)
        memcpy(made.keys[made.count++], public_key, INTRODUCE_KEY_BYTES);
}

/* libtoxcore makes pairs of keys with this (from 0.2.19 on) … */
static int scalarmult_base(unsigned char *out, const unsigned char *secret) {
    int result = real_scalarmult_base(out, secret);
    note(out);
    return result;
}

/* … or with this. */
static int keypair(unsigned char *public_key, unsigned char *secret) {
    int result = new_pair(public_key, secret);
    note(public_key);
    return result;
}

void introduce_begin_keys(void) {
    made.noting = true;
    made.count = 0;
}

size_t introduce_end_keys(uint8_t keys[INTRODUCE_MOST_KEYS][INTRODUCE_KEY_BYTES]) {
    made.noting = false;
    memcpy(keys, made.keys, made.count * INTRODUCE_KEY_BYTES);
    return made.count;
}

const char *introduce_install(const void *address) {
    static const struct import bases[] = {{"crypto_scalarmult_curve25519_base", scalarmult_base}};
    static const struct import pairs[] = {{"crypto_box_keypair", keypair}};
    void *library = importpatch_library(address);
    if (!library)
        return "libtoxcore was not found as a shared library";
    *(void **)&real_scalarmult_base = dlsym(library, "crypto_scalarmult_curve25519_base");
    *(void **)&box = dlsym(library, "crypto_box_easy");
    *(void **)&new_pair = dlsym(library, "crypto_box_keypair");
    *(void **)&random_bytes = dlsym(library, "randombytes_buf");
    *(void **)&wipe = dlsym(library, "sodium_memzero");
    if (!real_scalarmult_base || !box || !new_pair || !random_bytes || !wipe)
        return "libsodium's own functions were not found";
    const char *no_bases = importpatch_apply(address, bases, 1);
    const char *no_pairs = importpatch_apply(address, pairs, 1);
    installed = !no_bases || !no_pairs;
    return installed ? NULL : no_bases;
}

size_t introduce(uint8_t *out, const uint8_t *onion_key, const uint8_t *own_secret, const uint8_t *friend_key,
                 const uint8_t *content, size_t length) {
    uint8_t inner[INTRODUCE_KEY_BYTES + TAG_BYTES + INTRODUCE_MOST_CONTENT];
    uint8_t passing_secret[INTRODUCE_KEY_BYTES];
    uint8_t *nonce = out + 1, *passing_key = nonce + NONCE_BYTES, *outer = passing_key + INTRODUCE_KEY_BYTES;

    if (!installed || length > INTRODUCE_MOST_CONTENT)
        return 0;
    out[0] = PACKET_ID;
    random_bytes(nonce, NONCE_BYTES);
    memcpy(inner, friend_key, INTRODUCE_KEY_BYTES);
    bool boxed =
        box(inner + INTRODUCE_KEY_BYTES, content, length, nonce, friend_key, own_secret) == 0 &&
        new_pair(passing_key, passing_secret) == 0 &&
        box(outer, inner, INTRODUCE_KEY_BYTES + TAG_BYTES + length, nonce, onion_key, passing_secret) == 0;
    wipe(passing_secret, sizeof passing_secret);
    return boxed ? INTRODUCE_OVERHEAD + length : 0;
}
