/* Poly1305 by the numbers, for all versions of it: D. J. Bernstein, "The Poly1305-AES message-authentication code"
 * (2005); RFC 8439, section 2.5. Numbers are modulo 2^130 - 5: what is above 2^130 counts five times at the bottom. */
#ifndef TOXVPN_CRYPTO_POLY1305_H
#define TOXVPN_CRYPTO_POLY1305_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { POLY1305_BLOCK = 16 };

typedef unsigned __int128 poly1305_wide;

/* low + 2^64 * high + 2^128 * top, where top is less than 8. */
struct number {
    uint64_t low, high, top;
};

/* The key's first half with some bits cleared: the upper four of every 32, and the lower two above the first 32. So
 * sums of products fit into 128 bits, and high is a multiple of 4. */
struct factor {
    uint64_t low, high;
    uint64_t round; /* high * 5 / 4: what high counts at the bottom once it is above 2^130 */
};

static inline uint64_t poly1305_word(const uint8_t *bytes) {
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

static inline struct factor poly1305_factor(const uint8_t key[32]) {
    struct factor r = {poly1305_word(key) & UINT64_C(0x0ffffffc0fffffff),
                       poly1305_word(key + 8) & UINT64_C(0x0ffffffc0ffffffc), 0};
    r.round = r.high + r.high / 4;
    return r;
}

static inline struct number poly1305_add(struct number a, uint64_t low, uint64_t high, uint64_t top) {
    poly1305_wide sum = (poly1305_wide)a.low + low;
    a.low = (uint64_t)sum;
    sum = (sum >> 64) + a.high + high;
    a.high = (uint64_t)sum;
    a.top += top + (uint64_t)(sum >> 64);
    return a;
}

/* Brings what is above 2^130 to the bottom. */
static inline struct number poly1305_fold(struct number a) {
    uint64_t above = a.top / 4;
    a.top %= 4;
    return poly1305_add(a, 5 * above, 0, 0);
}

static inline struct number poly1305_multiply(struct number a, struct factor r) {
    poly1305_wide low = (poly1305_wide)a.low * r.low + (poly1305_wide)a.high * r.round;
    poly1305_wide high = (poly1305_wide)a.low * r.high + (poly1305_wide)a.high * r.low + a.top * r.round;
    high += (uint64_t)(low >> 64);
    return poly1305_fold(
        (struct number){(uint64_t)low, (uint64_t)high, a.top * r.low + (uint64_t)(high >> 64)});
}

/* (sum + block) * r for each whole block of `text`, to which a bit is added at 2^128. */
static inline struct number poly1305_blocks(struct number sum, const uint8_t *text, size_t blocks,
                                            struct factor r) {
    for (; blocks; blocks--, text += POLY1305_BLOCK)
        sum = poly1305_multiply(poly1305_add(sum, poly1305_word(text), poly1305_word(text + 8), 1), r);
    return sum;
}

/* The last block, of 0 to 15 bytes, with a bit added behind them; of 0 bytes there is none. */
static inline struct number poly1305_rest(struct number sum, const uint8_t *text, size_t length,
                                          struct factor r) {
    uint8_t block[POLY1305_BLOCK] = {0};
    if (!length)
        return sum;
    memcpy(block, text, length);
    block[length] = 1;
    return poly1305_multiply(poly1305_add(sum, poly1305_word(block), poly1305_word(block + 8), 0), r);
}

/* The number itself, plus the key's second half, modulo 2^128. */
static inline void poly1305_finish(uint8_t tag[16], struct number sum, const uint8_t key[32]) {
    struct number all = poly1305_fold(sum);
    struct number less = poly1305_add(all, 5, 0, 0); /* less the modulus, once 2^130 is taken away */
    uint64_t take = -(less.top / 4);                 /* all ones where the number is the modulus or more */
    all.low ^= take & (all.low ^ less.low);
    all.high ^= take & (all.high ^ less.high);
    all = poly1305_add(all, poly1305_word(key + 16), poly1305_word(key + 24), 0);
    memcpy(tag, &all.low, 8);
    memcpy(tag + 8, &all.high, 8);
}

#endif
