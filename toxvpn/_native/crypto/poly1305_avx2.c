/* Poly1305 of four blocks at a time: lane L of each vector is of every fourth block, from block L on. So each lane has
 * a sum of its own, which is multiplied by r^4 for each of its blocks and, at the end, by r^4, r^3, r^2 or r, which
 * makes their total what one sum would be: D. J. Bernstein and P. Schwabe, "NEON crypto" (2012), section 3.
 *
 * A number is five limbs of 26 bits, as the processor multiplies 32 bits by 32 bits in each lane. */
#include "kernels.h"

#ifdef KERNELS_X86
#include "poly1305.h"
#include "versions.h"

#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))
#define INLINE AVX2 static inline __attribute__((always_inline))

enum { LANES = 4, LIMBS = 5, STEP = LANES * POLY1305_BLOCK, FEWEST = 18 };

/* One in each lane. */
struct numbers {
    __m256i limb[LIMBS];
};

/* A factor, and five times its limbs, for what comes round from above 2^130. */
struct factors {
    __m256i limb[LIMBS], five[LIMBS];
};

INLINE struct factors with_fives(struct numbers numbers) {
    struct factors out;
#pragma GCC unroll 5
    for (int i = 0; i < LIMBS; i++) {
        out.limb[i] = numbers.limb[i];
        out.five[i] = _mm256_add_epi64(numbers.limb[i], _mm256_slli_epi64(numbers.limb[i], 2));
    }
    return out;
}

/* Of low + 2^64 * high + 2^128 * top in each lane, `top` already in its place in limb 4. */
INLINE struct numbers split(__m256i low, __m256i high, __m256i top) {
    const __m256i limb = _mm256_set1_epi64x((1 << 26) - 1);
    return (struct numbers){{
        _mm256_and_si256(low, limb),
        _mm256_and_si256(_mm256_srli_epi64(low, 26), limb),
        _mm256_and_si256(_mm256_or_si256(_mm256_srli_epi64(low, 52), _mm256_slli_epi64(high, 12)), limb),
        _mm256_and_si256(_mm256_srli_epi64(high, 14), limb),
        _mm256_or_si256(_mm256_srli_epi64(high, 40), top),
    }};
}

/* Four blocks, with the bit above each. Lanes: blocks 0, 2, 1, 3. */
INLINE struct numbers blocks_of(const uint8_t *text) {
    __m256i front = _mm256_loadu_si256((const __m256i *)text);
    __m256i back = _mm256_loadu_si256((const __m256i *)(text + 32));
    return split(_mm256_unpacklo_epi64(front, back), _mm256_unpackhi_epi64(front, back),
                 _mm256_set1_epi64x(1 << 24));
}

INLINE __m256i lanes(uint64_t a, uint64_t b, uint64_t c, uint64_t d) {
    return _mm256_set_epi64x((int64_t)d, (int64_t)c, (int64_t)b, (int64_t)a);
}

INLINE struct numbers spread(struct number a, struct number b, struct number c, struct number d) {
    return split(lanes(a.low, b.low, c.low, d.low), lanes(a.high, b.high, c.high, d.high),
                 _mm256_slli_epi64(lanes(a.top, b.top, c.top, d.top), 24));
}

INLINE struct numbers sum_of(struct numbers a, struct numbers b) {
#pragma GCC unroll 5
    for (int i = 0; i < LIMBS; i++)
        a.limb[i] = _mm256_add_epi64(a.limb[i], b.limb[i]);
    return a;
}

/* Said in the processor's words: GCC adds up products in another order, for which it keeps all of them in memory, and
 * clang makes three multiplications of one where it forgets that limbs are short. */
#define MULTIPLY(out, a, b) __asm__("vpmuludq %2, %1, %0" : "=x"(out) : "x"(a), "x"(b))
#define ADD(out, a) __asm__("vpaddq %1, %0, %0" : "+x"(out) : "x"(a))

/* sum + a * b, not carried: limbs of `a` below 2^28 and of `b` below 2^27 make each product less than 2^58. */
INLINE struct numbers add_product(struct numbers sum, struct numbers a, const struct factors *b) {
#pragma GCC unroll 5
    for (int i = 0; i < LIMBS; i++)
#pragma GCC unroll 5
        for (int to = 0; to < LIMBS; to++) {
            __m256i factor = i <= to ? b->limb[to - i] : b->five[LIMBS + to - i];
            __m256i one;
            MULTIPLY(one, a.limb[i], factor);
            ADD(sum.limb[to], one);
        }
    return sum;
}

INLINE struct numbers product(struct numbers a, const struct factors *b) {
    return add_product((struct numbers){{_mm256_setzero_si256()}}, a, b);
}

#define CARRY(a, from, to)                                                                                   \
    do {                                                                                                     \
        a.limb[to] = _mm256_add_epi64(a.limb[to], _mm256_srli_epi64(a.limb[from], 26));                      \
        a.limb[from] = _mm256_and_si256(a.limb[from], limb);                                                 \
    } while (0)

/* Limbs of 26 bits and a little: two chains side by side, from limb 0 and from limb 3. */
INLINE struct numbers carried(struct numbers a) {
    const __m256i limb = _mm256_set1_epi64x((1 << 26) - 1);
    __m256i top;
    CARRY(a, 0, 1);
    CARRY(a, 3, 4);
    CARRY(a, 1, 2);
    top = _mm256_srli_epi64(a.limb[4], 26);
    a.limb[4] = _mm256_and_si256(a.limb[4], limb);
    a.limb[0] = _mm256_add_epi64(a.limb[0], _mm256_add_epi64(top, _mm256_slli_epi64(top, 2)));
    CARRY(a, 2, 3);
    CARRY(a, 0, 1);
    CARRY(a, 3, 4);
    return a;
}

/* The lanes' total; limbs are below 2^27, so that four are below 2^29. */
INLINE struct number total(struct numbers a) {
    uint64_t lanes[LIMBS][LANES], limb[LIMBS];
    memcpy(lanes, &a, sizeof lanes);
    for (int i = 0; i < LIMBS; i++)
        limb[i] = lanes[i][0] + lanes[i][1] + lanes[i][2] + lanes[i][3];
    poly1305_wide low = limb[0] + ((poly1305_wide)limb[1] << 26) + ((poly1305_wide)limb[2] << 52);
    poly1305_wide high = (low >> 64) + ((poly1305_wide)limb[3] << 14) + ((poly1305_wide)limb[4] << 40);
    return poly1305_fold((struct number){(uint64_t)low, (uint64_t)high, (uint64_t)(high >> 64)});
}

/* `steps` of four blocks; from the third on two at a time, so that one carrying is for both. */
AVX2 static struct number many(struct number sum, const uint8_t *text, size_t steps, struct factor r) {
    const struct number zero = {0, 0, 0}, r1 = {r.low, r.high, 0};
    struct number r2 = poly1305_multiply(r1, r), r3 = poly1305_multiply(r2, r), r4 = poly1305_multiply(r3, r);
    const struct numbers fourths = spread(r4, r4, r4, r4);
    const struct factors forth = with_fives(fourths);
    struct numbers sums = sum_of(spread(sum, zero, zero, zero), blocks_of(text));

    if (steps % 2 == 0) {
        text += STEP;
        sums = sum_of(carried(product(sums, &forth)), blocks_of(text));
    }
    text += STEP;
    if (steps > 2) {
        const struct factors eighth = with_fives(carried(product(fourths, &forth)));
        for (size_t pairs = (steps - 1) / 2; pairs; pairs--, text += 2 * STEP) {
            struct numbers both = add_product(product(sums, &eighth), blocks_of(text), &forth);
            sums = sum_of(carried(both), blocks_of(text + STEP));
        }
    }
    const struct factors last = with_fives(spread(r4, r2, r3, r1));
    return total(carried(product(sums, &last)));
}

void poly1305_avx2(uint8_t tag[16], const uint8_t *text, size_t length, const uint8_t key[32]) {
    struct factor r = poly1305_factor(key);
    struct number sum = {0, 0, 0};
    size_t blocks = length / POLY1305_BLOCK, first = blocks % LANES;

    if (blocks < FEWEST)
        first = blocks;
    sum = poly1305_blocks(sum, text, first, r);
    text += first * POLY1305_BLOCK;
    if (blocks > first)
        sum = many(sum, text, blocks / LANES, r);
    text += (blocks - first) * POLY1305_BLOCK;
    sum = poly1305_rest(sum, text, length % POLY1305_BLOCK, r);
    poly1305_finish(tag, sum, key);
}
#endif
