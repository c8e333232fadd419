/* The sum of many bytes with AVX2, for x86 processors that have it; elsewhere the loop in checksum.h is as fast. */
#include "checksum.h"

#if defined(__x86_64__)
#include "processor.h"

bool csum_has_vectors;

__attribute__((constructor)) static void look(void) {
    csum_has_vectors = processor_has(bit_AVX2, PROCESSOR_YMM);
}

/* Four 64-bit words. The lower and the upper halves of each are summed by themselves, so that no sum overflows. */
typedef uint64_t vector __attribute__((vector_size(32)));

__attribute__((target("avx2"))) uint64_t csum_vectors(uint8_t *to, const uint8_t *from, size_t length) {
    vector lower = {0}, upper = {0};
    for (size_t at = 0; at < length; at += sizeof(vector)) {
        vector words;
        memcpy(&words, from + at, sizeof words);
        if (to)
            memcpy(to + at, &words, sizeof words);
        lower += words & UINT32_MAX;
        upper += words >> 32;
    }
    vector sums = lower + upper;
    return sums[0] + sums[1] + sums[2] + sums[3];
}
#endif
