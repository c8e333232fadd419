/* What all versions of Salsa20 share: D. J. Bernstein, "Salsa20 specification" (2005). Words are little-endian, as are
 * the processors that this is compiled for. */
#ifndef TOXVPN_CRYPTO_SALSA20_H
#define TOXVPN_CRYPTO_SALSA20_H

#include <stdint.h>
#include <string.h>

enum { SALSA20_WORDS = 16, SALSA20_DOUBLE_ROUNDS = 10 };

static inline uint32_t salsa20_word(const uint8_t *bytes) {
    uint32_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

/* The words before the rounds (section 8, "expansion"): the key around `input`, between "expand 32-byte k". */
static inline void salsa20_expand(uint32_t words[SALSA20_WORDS], const uint32_t key[8],
                                  const uint32_t input[4]) {
    static const uint8_t text[] = "expand 32-byte k";
    for (int i = 0; i < 4; i++) {
        words[5 * i] = salsa20_word(text + 4 * i);
        words[1 + i] = key[i];
        words[6 + i] = input[i];
        words[11 + i] = key[4 + i];
    }
}

/* Words may be numbers or vectors of numbers. */
#define SALSA20_ROTATE(word, bits) ((word) << (bits) | (word) >> (32 - (bits)))

/* Section 3: a quarter round of words a, b, c, d. */
#define SALSA20_QUARTER(x, a, b, c, d)                                                                       \
    do {                                                                                                     \
        x[b] ^= SALSA20_ROTATE(x[a] + x[d], 7);                                                              \
        x[c] ^= SALSA20_ROTATE(x[b] + x[a], 9);                                                              \
        x[d] ^= SALSA20_ROTATE(x[c] + x[b], 13);                                                             \
        x[a] ^= SALSA20_ROTATE(x[d] + x[c], 18);                                                             \
    } while (0)

/* Sections 4 to 6: the columns, then the rows. */
#define SALSA20_DOUBLE_ROUND(x)                                                                              \
    do {                                                                                                     \
        SALSA20_QUARTER(x, 0, 4, 8, 12);                                                                     \
        SALSA20_QUARTER(x, 5, 9, 13, 1);                                                                     \
        SALSA20_QUARTER(x, 10, 14, 2, 6);                                                                    \
        SALSA20_QUARTER(x, 15, 3, 7, 11);                                                                    \
        SALSA20_QUARTER(x, 0, 1, 2, 3);                                                                      \
        SALSA20_QUARTER(x, 5, 6, 7, 4);                                                                      \
        SALSA20_QUARTER(x, 10, 11, 8, 9);                                                                    \
        SALSA20_QUARTER(x, 15, 12, 13, 14);                                                                  \
    } while (0)

#endif
