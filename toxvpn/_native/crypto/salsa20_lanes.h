/* Salsa20 of several blocks at once: word W of the blocks is a vector, and lane L of it is block L's. A file that
 * defines LANES, TARGET (the attribute of a processor that has such vectors) and NAME gets the function NAME. */
#include "salsa20.h"
#include "versions.h"

typedef uint32_t words __attribute__((vector_size(4 * LANES)));
typedef uint32_t unaligned __attribute__((vector_size(16), aligned(1), may_alias));

/* Of each four lanes the first two of a and b by turns, or the last two; the same with pairs of lanes. */
#if LANES == 4
#define LOW(a, b) __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define HIGH(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#define LOW_PAIRS(a, b) __builtin_shufflevector(a, b, 0, 1, 4, 5)
#define HIGH_PAIRS(a, b) __builtin_shufflevector(a, b, 2, 3, 6, 7)
#define COUNT {0, 1, 2, 3}
#elif LANES == 8
#define LOW(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 4, 12, 5, 13)
#define HIGH(a, b) __builtin_shufflevector(a, b, 2, 10, 3, 11, 6, 14, 7, 15)
#define LOW_PAIRS(a, b) __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13)
#define HIGH_PAIRS(a, b) __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15)
#define COUNT {0, 1, 2, 3, 4, 5, 6, 7}
#endif

/* A quarter of a vector, which is 16 bytes of one block, to its place. */
#define QUARTER(vector, q)                                                                                   \
    __builtin_shufflevector(vector, vector, 4 * (q), 4 * (q) + 1, 4 * (q) + 2, 4 * (q) + 3)

/* Words 4w to 4w + 3 of every block: four vectors, turned round so that the words of a block are together. */
TARGET static inline __attribute__((always_inline)) void put_four(uint8_t *out, words a, words b, words c,
                                                                  words d) {
    words low_ab = LOW(a, b), high_ab = HIGH(a, b), low_cd = LOW(c, d), high_cd = HIGH(c, d);
    words turned[4] = {LOW_PAIRS(low_ab, low_cd), HIGH_PAIRS(low_ab, low_cd), LOW_PAIRS(high_ab, high_cd),
                       HIGH_PAIRS(high_ab, high_cd)};
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        *(unaligned *)(out + SALSA20_BLOCK * i) = QUARTER(turned[i], 0);
#if LANES > 4
        *(unaligned *)(out + SALSA20_BLOCK * (4 + i)) = QUARTER(turned[i], 1);
#endif
    }
}

TARGET static inline __attribute__((always_inline)) void blocks(uint8_t *out,
                                                                const uint32_t start[SALSA20_WORDS]) {
    const words count = COUNT;
    words x[SALSA20_WORDS], first[SALSA20_WORDS];
#pragma GCC unroll 16
    for (int i = 0; i < SALSA20_WORDS; i++)
        first[i] = (words){} + start[i];
    first[8] += count;
#pragma GCC unroll 16
    for (int i = 0; i < SALSA20_WORDS; i++)
        x[i] = first[i];
#pragma GCC unroll 1
    for (int i = 0; i < SALSA20_DOUBLE_ROUNDS; i++)
        SALSA20_DOUBLE_ROUND(x);
#pragma GCC unroll 4
    for (int i = 0; i < SALSA20_WORDS; i += 4)
        put_four(out + 4 * i, x[i] + first[i], x[i + 1] + first[i + 1], x[i + 2] + first[i + 2],
                 x[i + 3] + first[i + 3]);
}

TARGET void NAME(uint8_t *out, size_t length, const uint32_t subkey[8], const uint8_t nonce[8]) {
    uint32_t start[SALSA20_WORDS];
    const uint32_t input[4] = {salsa20_word(nonce), salsa20_word(nonce + 4), 0, 0};
    salsa20_expand(start, subkey, input);
    for (size_t done = 0; done < length; done += LANES * SALSA20_BLOCK, start[8] += LANES)
        blocks(out + done, start);
}
