/* Poly1305 of two blocks at a time, for ARM processors of 64 bits: lane L of each vector is of every second block, from
 * block L on. So each lane has a sum of its own, which is multiplied by r^2 for each of its blocks and, at the end, by
 * r^2 or r, which makes their total what one sum would be: D. J. Bernstein and P. Schwabe, "NEON crypto" (2012), section
 * 3. A number is five limbs of 26 bits, as the processor multiplies 32 bits by 32 bits in each lane. */
#include "kernels.h"

#ifdef KERNELS_ARM
#include "poly1305.h"
#include "versions.h"

#include <arm_neon.h>

#define INLINE static inline __attribute__((always_inline))

enum { LANES = 2, LIMBS = 5, GROUP = LANES * POLY1305_BLOCK, FEWEST = 128 };

#define LIMB ((UINT64_C(1) << 26) - 1)

struct limbs {
    uint64x2_t limb[LIMBS];
};

/* A factor, and five times its limbs, for what comes round from above 2^130. */
struct factors {
    uint32x2_t limb[LIMBS], five[LIMBS];
};

/* Of low + 2^64 * high + 2^128 * top in each lane. */
INLINE struct limbs split(uint64x2_t low, uint64x2_t high, uint64x2_t top) {
    return (struct limbs){{low & LIMB, low >> 26 & LIMB, (low >> 52 | high << 12) & LIMB, high >> 14 & LIMB,
                           high >> 40 | top << 24}};
}

INLINE struct limbs lanes(struct number a, struct number b) {
    return split((uint64x2_t){a.low, b.low}, (uint64x2_t){a.high, b.high}, (uint64x2_t){a.top, b.top});
}

/* A block in each lane, with the bit above it. */
INLINE struct limbs blocks_at(const uint8_t *text) {
    uint64x2_t one = vreinterpretq_u64_u8(vld1q_u8(text));
    uint64x2_t other = vreinterpretq_u64_u8(vld1q_u8(text + POLY1305_BLOCK));
    return split(vzip1q_u64(one, other), vzip2q_u64(one, other), vdupq_n_u64(1));
}

INLINE struct factors factors_of(struct limbs a) {
    struct factors out;
#pragma GCC unroll 5
    for (int i = 0; i < LIMBS; i++) {
        out.limb[i] = vmovn_u64(a.limb[i]);
        out.five[i] = out.limb[i] + (out.limb[i] << 2);
    }
    return out;
}

/* sum + a * b, not carried: limbs of `a` and `b` below 2^27 make each product less than 2^57. */
INLINE struct limbs add_product(struct limbs sum, struct limbs a, const struct factors *b) {
#pragma GCC unroll 5
    for (int i = 0; i < LIMBS; i++) {
        uint32x2_t limb = vmovn_u64(a.limb[i]);
#pragma GCC unroll 5
        for (int to = 0; to < LIMBS; to++)
            sum.limb[to] = vmlal_u32(sum.limb[to], limb, i <= to ? b->limb[to - i] : b->five[LIMBS + to - i]);
    }
    return sum;
}

INLINE void carry(struct limbs *a, int from) {
    uint64x2_t above = a->limb[from] >> 26;
    a->limb[from] &= LIMB;
    if (from < LIMBS - 1)
        a->limb[from + 1] += above;
    else
        a->limb[0] += above + (above << 2);
}

/* Limbs of 26 bits and a little: two chains side by side, from limb 0 and from limb 3. */
INLINE struct limbs carried(struct limbs a) {
    static const int order[] = {0, 3, 1, 4, 2, 0, 3};
#pragma GCC unroll 7
    for (int i = 0; i < 7; i++)
        carry(&a, order[i]);
    return a;
}

/* The lanes' total. */
INLINE struct number total(struct limbs a) {
    uint64_t limb[LIMBS];
#pragma GCC unroll 5
    for (int i = 0; i < LIMBS; i++)
        limb[i] = vaddvq_u64(a.limb[i]);
    poly1305_wide low = limb[0] + ((poly1305_wide)limb[1] << 26) + ((poly1305_wide)limb[2] << 52);
    poly1305_wide high = (low >> 64) + ((poly1305_wide)limb[3] << 14) + ((poly1305_wide)limb[4] << 40);
    return poly1305_fold((struct number){(uint64_t)low, (uint64_t)high, (uint64_t)(high >> 64)});
}

/* Groups of two blocks, at least one. They go in pairs, so that one carrying is for both; the products of a pair's
 * first group, which do not wait for the last carrying, come before those of the sums. */
static struct number groups(const uint8_t *text, size_t count, struct factor r) {
    const struct limbs none = {{vdupq_n_u64(0)}};
    const struct number r1 = {r.low, r.high, 0}, r2 = poly1305_multiply(r1, r);
    const struct limbs square = lanes(r2, r2);
    const struct factors once = factors_of(square), last = factors_of(lanes(r2, r1));
    const struct factors twice = factors_of(carried(add_product(none, square, &once)));
    struct limbs sums = none;

    if (count % 2) {
        sums = blocks_at(text);
        text += GROUP;
    }
    for (size_t pairs = count / 2; pairs; pairs--, text += 2 * GROUP) {
        struct limbs first = blocks_at(text), second = blocks_at(text + GROUP);
        sums = carried(add_product(add_product(second, first, &once), sums, &twice));
    }
    return total(carried(add_product(none, sums, &last)));
}

void poly1305_neon(uint8_t tag[16], const uint8_t *text, size_t length, const uint8_t key[32]) {
    struct factor r = poly1305_factor(key);
    struct number sum = {0, 0, 0};
    size_t count = length < FEWEST ? 0 : length / GROUP;

    if (count)
        sum = groups(text, count, r);
    text += count * GROUP;
    length -= count * GROUP;
    sum = poly1305_blocks(sum, text, length / POLY1305_BLOCK, r);
    text += length - length % POLY1305_BLOCK;
    sum = poly1305_rest(sum, text, length % POLY1305_BLOCK, r);
    poly1305_finish(tag, sum, key);
}
#endif
