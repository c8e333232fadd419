/* Which version of one primitive goes with which of the other, and which processors have what they take. */
#include "kernels.h"
#include "versions.h"

#ifdef KERNELS_X86
#include <cpuid.h>
#endif

#ifdef __SIZEOF_INT128__
static bool always(void) { return true; }

const struct kernel kernel_portable = {"portable", always, salsa20_portable, poly1305_portable};
#endif

#ifdef KERNELS_X86
/* Intel SDM volume 1, section 14.3: the processor has an instruction set, and the system keeps its registers. Asked
 * by hand, as not every compiler's library has what __builtin_cpu_supports() takes. */
static bool has(unsigned leaf7_ebx, unsigned registers) {
    unsigned a, b, c, d, low, high;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
        return false;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if ((low & registers) != registers || !__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return false;
    return (b & leaf7_ebx) == leaf7_ebx;
}

/* Bits of XCR0: the halves of 256-bit registers, and what AVX-512 adds: masks, halves of 512 bits, 16 registers more. */
enum { YMM = 0x06, ZMM = YMM | 0xe0 };

static bool has_avx2(void) { return has(bit_AVX2, YMM); }

static bool has_avx512(void) { return has(bit_AVX2 | bit_AVX512F | bit_AVX512VL | bit_AVX512IFMA, ZMM); }

static const struct kernel avx512 = {"avx512", has_avx512, salsa20_avx512, poly1305_ifma};
static const struct kernel avx2 = {"avx2", has_avx2, salsa20_avx2, poly1305_avx2};
#endif

#ifdef KERNELS_ARM
static const struct kernel neon = {"neon", always, salsa20_neon, poly1305_neon};
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
