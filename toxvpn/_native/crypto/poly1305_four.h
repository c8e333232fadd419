/* Poly1305 of four blocks at a time: lane L of each vector is of every fourth block, from block L on. So each lane has
 * a sum of its own, which is multiplied by r^4 for each of its blocks and, at the end, by r^4, r^3, r^2 or r, which
 * makes their total what one sum would be: D. J. Bernstein and P. Schwabe, "NEON crypto" (2012), section 3.
 *
 * A file that includes this has made, for its LIMBS limbs a number: struct numbers, a number in each lane; struct
 * factors, made by factors_of(); split(), where TOP_BIT is bit 128 in the last limb; add_product() to struct products,
 * and carried(); total(). It gets the function NAME, for processors of TARGET. */
/* Four blocks, with the bit above each. Lanes: blocks 0, 2, 1, 3. */
INLINE struct numbers blocks_of(const uint8_t *text) {
    __m256i front = _mm256_loadu_si256((const __m256i *)text);
    __m256i back = _mm256_loadu_si256((const __m256i *)(text + 32));
    return split(_mm256_unpacklo_epi64(front, back), _mm256_unpackhi_epi64(front, back),
                 _mm256_set1_epi64x(INT64_C(1) << TOP_BIT));
}

INLINE __m256i lanes(uint64_t a, uint64_t b, uint64_t c, uint64_t d) {
    return _mm256_set_epi64x((int64_t)d, (int64_t)c, (int64_t)b, (int64_t)a);
}

INLINE struct numbers spread(struct number a, struct number b, struct number c, struct number d) {
    return split(lanes(a.low, b.low, c.low, d.low), lanes(a.high, b.high, c.high, d.high),
                 _mm256_slli_epi64(lanes(a.top, b.top, c.top, d.top), TOP_BIT));
}

INLINE struct numbers sum_of(struct numbers a, struct numbers b) {
#pragma GCC unroll 5
    for (int i = 0; i < LIMBS; i++)
        a.limb[i] = _mm256_add_epi64(a.limb[i], b.limb[i]);
    return a;
}

INLINE struct products product(struct numbers a, const struct factors *b) {
    return add_product((struct products){0}, a, b);
}

enum {
    STEP = LANES * POLY1305_BLOCK,
    FEWEST = 18, /* blocks; of fewer, one after the other is as fast */
};

/* `steps` of four blocks; from the third on two at a time, so that one carrying is for both. */
TARGET static struct number many(struct number sum, const uint8_t *text, size_t steps, struct factor r) {
    const struct number zero = {0, 0, 0}, r1 = {r.low, r.high, 0};
    struct number r2 = poly1305_multiply(r1, r), r3 = poly1305_multiply(r2, r), r4 = poly1305_multiply(r3, r);
    const struct numbers fourths = spread(r4, r4, r4, r4);
    const struct factors forth = factors_of(fourths);
    struct numbers sums = sum_of(spread(sum, zero, zero, zero), blocks_of(text));

    if (steps % 2 == 0) {
        text += STEP;
        sums = sum_of(carried(product(sums, &forth)), blocks_of(text));
    }
    text += STEP;
    if (steps > 2) {
        const struct factors eighth = factors_of(carried(product(fourths, &forth)));
        for (size_t pairs = (steps - 1) / 2; pairs; pairs--, text += 2 * STEP) {
            struct products both = add_product(product(sums, &eighth), blocks_of(text), &forth);
            sums = sum_of(carried(both), blocks_of(text + STEP));
        }
    }
    const struct factors last = factors_of(spread(r4, r2, r3, r1));
    return total(carried(product(sums, &last)));
}

TARGET void NAME(uint8_t tag[16], const uint8_t *text, size_t length, const uint8_t key[32]) {
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
