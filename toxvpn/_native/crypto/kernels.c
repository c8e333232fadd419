/* Which versions of the primitives go together, and which processors have what they take. */
#include "kernels.h"
#include "../processor.h"
#include "versions.h"

#define WIDTH 16
#define TARGET
#define NAME mix_narrow
#include "mix.h"

#ifdef __SIZEOF_INT128__
static bool always(void) { return true; }

const struct kernel kernel_portable = {"portable", always, salsa20_portable, poly1305_portable, mix_narrow};
#endif

#ifdef KERNELS_X86
static bool has_avx2(void) { return processor_has(bit_AVX2, PROCESSOR_YMM); }

static bool has_avx512(void) {
    return processor_has(bit_AVX2 | bit_AVX512F | bit_AVX512VL | bit_AVX512IFMA, PROCESSOR_ZMM);
}

#define WIDTH 32
#define TARGET __attribute__((target("avx2")))
#define NAME mix_wide
#include "mix.h"

static const struct kernel avx512 = {"avx512", has_avx512, salsa20_avx512, poly1305_ifma, mix_wide};
static const struct kernel avx2 = {"avx2", has_avx2, salsa20_avx2, poly1305_avx2, mix_wide};
#endif

#ifdef KERNELS_ARM
static const struct kernel neon = {"neon", always, salsa20_neon, poly1305_neon, mix_narrow};
#endif

const struct kernel *const kernels[] = {
#ifdef KERNELS_X86
    &avx512,
    &avx2,
#endif
#ifdef KERNELS_ARM
    &neon,
#endif
    NULL,
};
