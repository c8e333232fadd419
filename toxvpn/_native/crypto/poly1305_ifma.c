/* Poly1305 for x86 processors with AVX-512 IFMA, in registers of 256 bits. A number is three limbs of 44, 44 and 42 bits,
 * as the processor adds the lower or the upper half of the product of 52 bits by 52 bits in each lane. */
#include "kernels.h"

#ifdef KERNELS_X86
#include "poly1305.h"
#include "versions.h"

#include <immintrin.h>

#ifndef IFMA_BY_HAND /* a test, on a processor without it */
#define TARGET __attribute__((target("avx2,avx512f,avx512vl,avx512ifma")))
#define ADD_LOWER(sum, a, b) _mm256_madd52lo_epu64(sum, a, b)
#define ADD_UPPER(sum, a, b) _mm256_madd52hi_epu64(sum, a, b)
#endif
#define NAME poly1305_ifma
#define INLINE TARGET static inline __attribute__((always_inline))

enum { LANES = 4, LIMBS = 3, TOP_BIT = 40 };

/* One in each lane. */
struct numbers {
    __m256i limb[LIMBS];
};

/* A factor, and 20 times its limbs, for what comes round from above 2^130: 2^132 counts as much as 20. */
struct factors {
    __m256i limb[LIMBS], twenty[LIMBS];
};

/* Halves of sums of products, not carried: an upper one counts 2^52 times as much as the lower one beside it. */
struct products {
    __m256i lower[LIMBS], upper[LIMBS];
};

INLINE struct factors factors_of(struct numbers numbers) {
    struct factors out;
#pragma GCC unroll 3
    for (int i = 0; i < LIMBS; i++) {
        out.limb[i] = numbers.limb[i];
        out.twenty[i] =
            _mm256_add_epi64(_mm256_slli_epi64(numbers.limb[i], 4), _mm256_slli_epi64(numbers.limb[i], 2));
    }
    return out;
}

/* Of low + 2^64 * high + 2^128 * top in each lane, `top` already in its place in limb 2. */
INLINE struct numbers split(__m256i low, __m256i high, __m256i top) {
    const __m256i limb = _mm256_set1_epi64x((INT64_C(1) << 44) - 1);
    return (struct numbers){{
        _mm256_and_si256(low, limb),
        _mm256_and_si256(_mm256_or_si256(_mm256_srli_epi64(low, 44), _mm256_slli_epi64(high, 20)), limb),
        _mm256_or_si256(_mm256_srli_epi64(high, 24), top),
    }};
}

/* sum + a * b, not carried: limbs of `a` below 2^46 and of `b` below 2^45, so that 20 times those are below 2^52. */
INLINE struct products add_product(struct products sum, struct numbers a, const struct factors *b) {
#pragma GCC unroll 3
    for (int i = 0; i < LIMBS; i++)
#pragma GCC unroll 3
        for (int to = 0; to < LIMBS; to++) {
            __m256i factor = i <= to ? b->limb[to - i] : b->twenty[LIMBS + to - i];
            sum.lower[to] = ADD_LOWER(sum.lower[to], a.limb[i], factor);
            sum.upper[to] = ADD_UPPER(sum.upper[to], a.limb[i], factor);
        }
    return sum;
}

/* What goes from a limb of `bits` to the next one. */
#define CARRIED(a, i, bits)                                                                                  \
    _mm256_add_epi64(_mm256_srli_epi64(a.lower[i], bits), _mm256_slli_epi64(a.upper[i], 52 - (bits)))

/* Limbs of 44, 44 and 42 bits and a little. */
INLINE struct numbers carried(struct products a) {
    const __m256i limb = _mm256_set1_epi64x((INT64_C(1) << 44) - 1);
    const __m256i last = _mm256_set1_epi64x((INT64_C(1) << 42) - 1);
    struct numbers out;
    __m256i top;

    a.lower[1] = _mm256_add_epi64(a.lower[1], CARRIED(a, 0, 44));
    a.lower[2] = _mm256_add_epi64(a.lower[2], CARRIED(a, 1, 44));
    top = CARRIED(a, 2, 42); /* times 2^130 */
    out.limb[0] = _mm256_and_si256(a.lower[0], limb);
    out.limb[0] = _mm256_add_epi64(out.limb[0], _mm256_add_epi64(top, _mm256_slli_epi64(top, 2)));
    out.limb[1] = _mm256_and_si256(a.lower[1], limb);
    out.limb[1] = _mm256_add_epi64(out.limb[1], _mm256_srli_epi64(out.limb[0], 44));
    out.limb[0] = _mm256_and_si256(out.limb[0], limb);
    out.limb[2] = _mm256_and_si256(a.lower[2], last);
    return out;
}

/* The lanes' total; limbs are below 2^45, so that four are below 2^47. */
INLINE struct number total(struct numbers a) {
    uint64_t lanes[LIMBS][LANES], limb[LIMBS];
    memcpy(lanes, &a, sizeof lanes);
    for (int i = 0; i < LIMBS; i++)
        limb[i] = lanes[i][0] + lanes[i][1] + lanes[i][2] + lanes[i][3];
    poly1305_wide low = limb[0] + ((poly1305_wide)limb[1] << 44);
    poly1305_wide high = (low >> 64) + ((poly1305_wide)limb[2] << 24);
    return poly1305_fold((struct number){(uint64_t)low, (uint64_t)high, (uint64_t)(high >> 64)});
}

#include "poly1305_four.h"
#endif
