/* Poly1305 for x86 processors with AVX2. A number is five limbs of 26 bits, as the processor multiplies 32 bits by 32 bits
 * in each lane. */
#include "kernels.h"

#ifdef KERNELS_X86
#include "poly1305.h"
#include "versions.h"

#include <immintrin.h>

#define NAME poly1305_avx2
#define TARGET __attribute__((target("avx2")))
#define INLINE TARGET static inline __attribute__((always_inline))

enum { LANES = 4, LIMBS = 5, TOP_BIT = 24 };

/* One in each lane. */
struct numbers {
    __m256i limb[LIMBS];
};

#define products numbers

/* A factor, and five times its limbs, for what comes round from above 2^130. */
struct factors {
    __m256i limb[LIMBS], five[LIMBS];
};

INLINE struct factors factors_of(struct numbers numbers) {
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

#include "poly1305_four.h"
#endif
