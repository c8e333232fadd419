/* The Poly1305 for AVX-512 IFMA on a processor that has only AVX2: the instruction itself is done by hand, and everything
 * around it is the file as it is. Compares every length with the portable version. Exit code: 0 all are equal. */
#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define IFMA_BY_HAND
#define TARGET __attribute__((target("avx2")))

/* Intel SDM, VPMADD52LUQ and VPMADD52HUQ: sum + the lower or upper 52 bits of the product of 52 bits by 52 bits. */
TARGET static __m256i add_half(__m256i sum, __m256i a, __m256i b, bool upper) {
    const uint64_t mask = (UINT64_C(1) << 52) - 1;
    uint64_t x[4], y[4], z[4];
    _mm256_storeu_si256((__m256i *)x, a);
    _mm256_storeu_si256((__m256i *)y, b);
    _mm256_storeu_si256((__m256i *)z, sum);
    for (int i = 0; i < 4; i++) {
        unsigned __int128 product = (unsigned __int128)(x[i] & mask) * (y[i] & mask);
        z[i] += (uint64_t)(upper ? product >> 52 : product) & mask;
    }
    return _mm256_loadu_si256((const __m256i *)z);
}

#define ADD_LOWER(sum, a, b) add_half(sum, a, b, false)
#define ADD_UPPER(sum, a, b) add_half(sum, a, b, true)
#include "poly1305_ifma.c"

static uint64_t state = 88172645463325252u;

static uint8_t next_byte(int round) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return round == 1 || (round == 2 && state % 4) ? 0xff : (uint8_t)(state >> 32);
}

int main(void) {
    static uint8_t text[2048];
    uint8_t key[32], ours[16], theirs[16];
    for (int round = 0; round < 3; round++)
        for (size_t length = 0; length <= sizeof text; length++) {
            for (size_t i = 0; i < length; i++)
                text[i] = next_byte(round);
            for (size_t i = 0; i < sizeof key; i++)
                key[i] = next_byte(round);
            poly1305_ifma(ours, text, length, key);
            poly1305_portable(theirs, text, length, key);
            if (memcmp(ours, theirs, sizeof ours) != 0) {
                printf("differs at %zu bytes, round %d\n", length, round);
                return 1;
            }
        }
    return 0;
}
