/* Poly1305 a block at a time, in plain C: the reference that the wide versions are compared with. */
#include "kernels.h"

#ifdef __SIZEOF_INT128__
#include "poly1305.h"
#include "versions.h"

void poly1305_portable(uint8_t tag[16], const uint8_t *text, size_t length, const uint8_t key[32]) {
    struct factor r = poly1305_factor(key);
    struct number sum = {0, 0, 0};
    size_t blocks = length / POLY1305_BLOCK, whole = blocks * POLY1305_BLOCK;

    sum = poly1305_blocks(sum, text, blocks, r);
    sum = poly1305_rest(sum, text + whole, length - whole, r);
    poly1305_finish(tag, sum, key);
}
#endif
