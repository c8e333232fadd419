/* Salsa20 of eight blocks at a time, for x86 processors with AVX-512: in registers of 256 bits, whose 23 blocks of a full
 * packet fit better than 512 bits would. AVX-512 has a rotation in one step, and registers for all words. */
#include "kernels.h"

#ifdef KERNELS_X86
#define LANES 8
#define TARGET __attribute__((target("avx2,avx512f,avx512vl")))
#define NAME salsa20_avx512
#include "salsa20_lanes.h"
#endif
