/* The versions of each primitive, one file each; kernels.c pairs them, kernels.h says what they do. */
#ifndef TOXVPN_CRYPTO_VERSIONS_H
#define TOXVPN_CRYPTO_VERSIONS_H

#include "kernels.h"

void salsa20_portable(uint8_t *out, size_t length, const uint32_t subkey[8], const uint8_t nonce[8]);
void poly1305_portable(uint8_t tag[16], const uint8_t *text, size_t length, const uint8_t key[32]);

void salsa20_avx2(uint8_t *out, size_t length, const uint32_t subkey[8], const uint8_t nonce[8]);
void poly1305_avx2(uint8_t tag[16], const uint8_t *text, size_t length, const uint8_t key[32]);

void salsa20_avx512(uint8_t *out, size_t length, const uint32_t subkey[8], const uint8_t nonce[8]);
void poly1305_ifma(uint8_t tag[16], const uint8_t *text, size_t length, const uint8_t key[32]);

void salsa20_neon(uint8_t *out, size_t length, const uint32_t subkey[8], const uint8_t nonce[8]);
void poly1305_neon(uint8_t tag[16], const uint8_t *text, size_t length, const uint8_t key[32]);

#endif
