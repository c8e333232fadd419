/* HSalsa20, by which XSalsa20 makes a subkey of its key and the first 16 bytes of its nonce: D. J. Bernstein,
 * "Extending the Salsa20 nonce" (2011). */
#ifndef TOXVPN_CRYPTO_SUBKEYS_H
#define TOXVPN_CRYPTO_SUBKEYS_H

#include <stdint.h>

enum { SUBKEY_INPUT = 16 };

void hsalsa20(uint32_t subkey[8], const uint8_t key[32], const uint8_t input[SUBKEY_INPUT]);

/* The same, but made once for the packets of a connection, whose nonces count up from the other end. The result
 * is good until the thread's next call. */
const uint32_t *subkey_of(const uint8_t key[32], const uint8_t input[SUBKEY_INPUT]);

#endif
