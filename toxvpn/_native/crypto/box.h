/* NaCl's box of a key that both sides share, XSalsa20-Poly1305: D. J. Bernstein, "Cryptography in NaCl" (2009),
 * sections 7 to 10. The text begins with BOX_ZEROS bytes of 0; the box has as many bytes, of which 16 are 0, then
 * comes the tag. Both may be the same memory. */
#ifndef TOXVPN_CRYPTO_BOX_H
#define TOXVPN_CRYPTO_BOX_H

#include "kernels.h"

enum {
    BOX_ZEROS = 32,
    BOX_TAG = 16,
    BOX_LONGEST = 2048, /* as long as the longest packet of libtoxcore; what is longer is not for us */
};

/* `length` counts the zeros, and is BOX_ZEROS to BOX_LONGEST. */
void box_seal(const struct kernel *kernel, uint8_t *box, const uint8_t *text, size_t length,
              const uint8_t nonce[24], const uint8_t key[32]);

/* False, and `text` is as it was: the tag is wrong. */
bool box_open(const struct kernel *kernel, uint8_t *text, const uint8_t *box, size_t length,
              const uint8_t nonce[24], const uint8_t key[32]);

#endif
