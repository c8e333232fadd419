/* Salsa20 of eight blocks at a time, for x86 processors with AVX2. */
#include "kernels.h"

#ifdef KERNELS_X86
#define LANES 8
#define TARGET __attribute__((target("avx2")))
#define NAME salsa20_avx2
#include "salsa20_lanes.h"
#endif
