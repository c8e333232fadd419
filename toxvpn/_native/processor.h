/* What this processor can do, for code that exists in several versions. */
#ifndef TOXVPN_PROCESSOR_H
#define TOXVPN_PROCESSOR_H

#if defined(__x86_64__)
#include <cpuid.h>
#include <stdbool.h>

/* Bits of XCR0: the halves of 256-bit registers; and what AVX-512 adds: masks, halves of 512 bits, 16 registers more. */
enum { PROCESSOR_YMM = 0x06, PROCESSOR_ZMM = PROCESSOR_YMM | 0xe0 };

/* Intel SDM volume 1, section 14.3: the processor has an instruction set, and the system keeps its registers. Asked
 * by hand, as not every compiler's library has what __builtin_cpu_supports() takes. */
static inline bool processor_has(unsigned leaf7_ebx, unsigned registers) {
    unsigned a, b, c, d, low, high;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
        return false;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if ((low & registers) != registers || !__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return false;
    return (b & leaf7_ebx) == leaf7_ebx;
}
#endif

#endif
